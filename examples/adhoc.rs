//! throw-away
use synthmill::markdown::{sections::*, *};
fn main() {
    let verbose = std::env::var("V").is_ok();
    let mut n = (0, 0, 0, 0);
    let t = std::time::Instant::now();
    for path in std::env::args().skip(1) {
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skip {path}");
            continue;
        };
        let text = text.replace("\r\n", "\n");
        let (fm, text) = front_matter::split(&text);
        if !fm.is_empty() {
            println!("FM {path} {fm:?}");
        }
        let o = Outline::of(text, Syntax::Markdown);
        let b = Borders::new(text, &o, 8000);
        n.0 += 1;
        for s in split(text, &o, "DOC") {
            if !o.is_readable(&s.body) {
                if verbose && !text[s.body.clone()].trim().is_empty() {
                    println!(
                        "-- UNREADABLE {:?}: {:?}",
                        s.path,
                        &text[s.body.clone()].chars().take(200).collect::<String>()
                    );
                }
                continue;
            }
            n.1 += 1;
            for p in b.parts(text, s.body.clone()) {
                n.2 += 1;
                let f = facts::of(text, &o, &p);
                n.3 += f.len();
                if verbose {
                    println!(
                        "== {} [{}] {}",
                        path.rsplit('/').take(2).collect::<Vec<_>>().join(" "),
                        s.level,
                        s.path.join(" > ")
                    );
                    for x in f {
                        println!("   * {x}");
                    }
                }
            }
        }
    }
    println!("{n:?} {:?}", t.elapsed());
}
