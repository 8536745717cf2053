"""Scores English texts by Flesch's reading ease: about 100 is very easy, 0 very hard. A JSON object per line in, one out."""
import json, re, sys

for line in sys.stdin:
    text = json.loads(line)["answer"]
    words = re.findall(r"[a-z']+", text.lower()) or ["-"]
    sentences = len(re.findall(r"[.!?]+(?=\s|$)", text)) or 1
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", re.sub(r"e$", "", word)))) for word in words)
    ease = 206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words)
    print(json.dumps({"words": len(words), "ease": round(ease, 1)}), flush=True)
