//! Reports on recordings of traces that never were: the page needs nothing else, and its numbers are those of
//! the JSON.

mod scenes;

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use alua_trace::{evidence::Evidence, json, page};
    use serde_json::Value;

    use super::scenes;

    const MOST_BYTES: usize = 2 << 20;

    fn evidence(scene: &str, dir: &Path) -> Evidence {
        let file = dir.join("it.atr");
        let (_, scene) = scenes::NAMED
            .iter()
            .find(|(name, _)| *name == scene)
            .unwrap();
        scenes::record(scene, &file);
        read(file)
    }

    fn read(file: PathBuf) -> Evidence {
        Evidence::read(&[file], &[]).unwrap()
    }

    fn object(evidence: &Evidence) -> Value {
        serde_json::from_str(&json::to_line(&page::object(evidence)).unwrap()).unwrap()
    }

    /// Every element that is opened is closed, in order.
    fn check_elements(page: &str) {
        const VOID: [&str; 3] = ["meta", "link", "!doctype"];
        let mut open: Vec<&str> = Vec::new();
        let mut left = page;
        while let Some(at) = left.find('<') {
            left = &left[at + 1..];
            let end = left.find('>').unwrap();
            let tag = &left[..end];
            let name = tag
                .trim_start_matches('/')
                .split([' ', '/'])
                .next()
                .unwrap();
            match tag {
                _ if VOID.contains(&name) || tag.ends_with('/') => {}
                _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "</{name}>"),
                _ => open.push(name),
            }
            left = &left[end + 1..];
            if let "style" | "script" = name
                && !tag.starts_with('/')
            {
                let close = format!("</{name}>");
                left = &left[left.find(&close).unwrap()..];
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn pages_need_nothing_else_and_are_small() {
        let dir = tempfile::tempdir().unwrap();
        for (scene, _) in scenes::NAMED {
            let dir = dir.path().join(scene);
            std::fs::create_dir(&dir).unwrap();
            let page = page::page(&evidence(scene, &dir), "<it> & \"more\".atr");
            assert!(page.len() <= MOST_BYTES, "{scene}: {} bytes", page.len());
            check_elements(&page);
            for foreign in [
                "http:",
                "https:",
                "//",
                "src=",
                "url(",
                "@import",
                "<b>\u{1b}",
            ] {
                let script = page.split("<script>").next().unwrap();
                assert!(!script.contains(foreign), "{scene}: {foreign}");
            }
            assert!(
                page.contains("&lt;it&gt; &amp; &quot;more&quot;.atr"),
                "{scene}"
            );
            assert!(!page.contains('\u{1b}'), "{scene}");
        }
    }

    /// Each column of each path, and each percentile, stands in the page as in the JSON.
    #[test]
    fn numbers_of_the_page_are_those_of_the_json() {
        let dir = tempfile::tempdir().unwrap();
        let evidence = evidence("transfer", dir.path());
        let (page, object) = (page::page(&evidence, "it"), object(&evidence));
        let timeline = &object["timeline"];
        let mut columns = 0;
        for path in timeline["paths"].as_array().unwrap() {
            let name = path["path"]["device"].as_str().unwrap();
            for (column, span) in path["columns"]
                .as_array()
                .unwrap()
                .iter()
                .zip(timeline["columns_ns"].as_array().unwrap())
            {
                if column["commands"] == 0 {
                    continue;
                }
                columns += 1;
                let ns = |value: &Value| alua_trace::format::latency(value.as_u64());
                let told = |quantile: &Value| match quantile {
                    Value::Null => "too few".to_owned(),
                    it => ns(&it["value_ns"]),
                };
                let from = span[0].as_u64().unwrap();
                let words = format!("{}.{}–", from / 1_000_000_000, from / 100_000_000 % 10);
                let numbers = format!(
                    "p50 {}, p99 {}, max {}",
                    told(&column["p50"]),
                    told(&column["p99"]),
                    ns(&column["max_ns"])
                );
                let commands =
                    alua_trace::format::plural(column["commands"].as_u64().unwrap(), "command");
                let is_it = |title: &&str| {
                    [name, &words, &numbers, &commands]
                        .iter()
                        .all(|part| title.contains(*part))
                };
                // Once over the heat map, once over the lines.
                let titles = page
                    .split("<title>")
                    .filter_map(|rest| rest.split("</title>").next());
                assert_eq!(
                    titles.filter(is_it).count(),
                    2,
                    "{name} {words} {numbers} {commands}"
                );
            }
        }
        assert!(columns > 60, "{columns}");
        for path in object["summary"]["paths"].as_array().unwrap() {
            for latency in path["latency"].as_array().unwrap() {
                for quantile in latency["quantiles"].as_array().unwrap() {
                    let ns = |name: &str| alua_trace::format::latency(quantile[name].as_u64());
                    let cell = format!(
                        "{}<small>{} to {}</small>",
                        ns("value_ns"),
                        ns("low_ns"),
                        ns("high_ns")
                    );
                    assert!(page.contains(&cell), "{cell}");
                }
            }
        }
    }

    #[test]
    fn the_verdict_comes_first_and_names_what_was_planted() {
        let dir = tempfile::tempdir().unwrap();
        let evidence = evidence("transfer", dir.path());
        let object = object(&evidence);
        let verdict: Vec<&str> = object["verdict"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["text"].as_str().unwrap())
            .collect();
        for (nth, part) in [
            (1, "Complete"),
            (2, "went over paths that were not optimized"),
            (3, "mpatha moved from TPG 1 to TPG 2 by the array"),
            (4, "The slowest command took 300 ms"),
            (5, "status 0: fio"),
        ] {
            assert!(verdict[nth].contains(part), "{verdict:#?}");
        }
        let map = &object["maps"][0];
        let added = map["added_ns"].as_f64().unwrap() / map["not_optimized"].as_f64().unwrap();
        // The scene takes 2.1 ms and more there, 80 µs and more elsewhere.
        assert!((1.9e6..2.4e6).contains(&added), "{added}");
    }

    /// What is left of a recording is reported, with what is missing.
    #[test]
    fn a_recording_that_is_cut_is_reported_as_far_as_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        evidence("transfer", dir.path());
        let whole = std::fs::read(dir.path().join("it.atr")).unwrap();
        let cut = dir.path().join("cut.atr");
        std::fs::write(&cut, &whole[..whole.len() * 2 / 3]).unwrap();
        let evidence = read(cut);
        assert!(evidence.missing.is_some() && evidence.ending.is_none());
        assert!(!evidence.summary.complete);
        let because = evidence.summary.incomplete_because.join("; ");
        assert!(because.contains("the recording ends early"), "{because}");
        let commands: u64 = evidence
            .summary
            .paths
            .iter()
            .map(|it| it.counts.recorded)
            .sum();
        assert!((30_000..50_000).contains(&commands), "{commands}");
        check_elements(&page::page(&evidence, "cut"));
    }
}
