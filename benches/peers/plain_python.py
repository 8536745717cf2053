"""Asks a model each question of a file, as most people begin: asyncio, the openai package, a semaphore, lines of JSON.

    plain_python.py BASE_URL QUESTIONS OUTPUT --items 5000 --concurrency 64

QUESTIONS has the body of a chat completion per line; they are asked in turn, and again from the first. The package
retries what fails. Nothing is drawn or rendered, nothing is journaled, and a run that is stopped begins again.
"""

import argparse
import asyncio
import itertools
import json

from openai import AsyncOpenAI


async def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("questions")
    parser.add_argument("output")
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=64)
    arguments = parser.parse_args()

    # The package gives a connection up after 5 seconds, which a busy machine may take; one failure would end the run.
    client = AsyncOpenAI(base_url=arguments.base_url, api_key="none", timeout=600)
    semaphore = asyncio.Semaphore(arguments.concurrency)
    with open(arguments.questions, encoding="utf-8") as file:
        questions = [json.loads(line) for line in file]

    with open(arguments.output, "w", encoding="utf-8") as output:

        async def ask(number: int, question: dict) -> None:
            async with semaphore:
                completion = await client.chat.completions.create(**question)
            text = completion.choices[0].message.content
            output.write(json.dumps({"id": number, "text": text}) + "\n")

        work = itertools.islice(itertools.cycle(questions), arguments.items)
        await asyncio.gather(*(ask(number, question) for number, question in enumerate(work)))


if __name__ == "__main__":
    asyncio.run(main())
