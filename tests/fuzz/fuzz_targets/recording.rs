//! A recording: any bytes as a file, or, behind a first byte that is odd, as the payload of a frame of inputs,
//! which no checksum guards then. An engine takes what they say, what it says of them is safe to print, and
//! reports and exports are made of it.

#![no_main]

use std::io::Cursor;

use alua_trace::engine::{End, Engine, Input, Wanted};
use alua_trace::evidence::Gathering;
use alua_trace::export::rows::{Rows, Tabulating};
use alua_trace::export::table::{TABLES, Value};
use alua_trace::model::Start;
use alua_trace::record::reader::{Reader, Taker};
use alua_trace::record::{Decoder, Meta};
use alua_trace::replay::{Audience, Played};
use alua_trace::report::lines::Lines;
use alua_trace::{json, model, page, report, safe};
use libfuzzer_sys::fuzz_target;

struct Replay {
    engine: Engine,
    lines: Lines,
    gathering: Gathering,
    tables: Tabulating<Nowhere>,
}

/// Takes rows that are as wide as their table.
struct Nowhere;

impl Rows for Nowhere {
    fn row(&mut self, table: usize, row: &[Value<'_>]) -> std::io::Result<()> {
        assert_eq!(row.len(), TABLES[table].columns.len());
        Ok(())
    }
}

impl Taker for Replay {
    fn start(&mut self, start: Start) {
        self.show(&model::Line::Start(start));
    }

    fn lines(&mut self, lines: Vec<model::Line>) {
        lines.iter().for_each(|line| self.show(line));
    }

    fn input(&mut self, at_ns: u64, input: Input<'_>) {
        self.engine.take(at_ns, input);
        if !matches!(input, Input::Record(_)) {
            let _ = self.engine.wants();
            for line in self.engine.take_lines() {
                self.show(&line);
            }
        }
    }
}

impl Replay {
    fn show(&mut self, line: &model::Line) {
        let json = json::to_line(line).unwrap();
        let mut text = self.lines.line(line);
        if let model::Line::Summary(summary) = line {
            text = report::summary::summary(summary, 0, 100);
        }
        let shown = json.chars().chain(text.chars());
        assert!(!shown.into_iter().any(|c| c != '\n' && safe::is_unsafe(c)));
        self.gathering.line(line.clone()).unwrap();
        self.tables.line(line.clone()).unwrap();
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((pick, input)) = data.split_first() else {
        return;
    };
    let wanted = Wanted {
        maps: Vec::new(),
        commands: pick & 2 != 0,
        ..Wanted::default()
    };
    let mut replay = Replay {
        engine: Engine::new(wanted),
        lines: Lines::new(0),
        gathering: Gathering::default(),
        tables: Tabulating::new(Nowhere),
    };
    if pick & 1 == 0 {
        if let Ok(mut reader) = Reader::new(Cursor::new(input)) {
            let _ = reader.read(&mut replay);
        }
    } else {
        let mut take = |at_ns, input: Input<'_>| replay.input(at_ns, input);
        let _ = Decoder::new().unwrap().inputs(input, &mut take);
    }
    let end = End {
        goes_on: true,
        ..End::default()
    };
    replay.input(u64::MAX, Input::End(&end));
    for line in replay.engine.take_lines() {
        replay.show(&line);
    }
    let played = Played {
        meta: Meta::new(&[]),
        ending: None,
        missing: None,
    };
    if let Ok(evidence) = replay.gathering.into_evidence(played) {
        let page = page::page(&evidence, "it");
        assert!(!page.chars().any(|c| c != '\n' && safe::is_unsafe(c)));
        json::to_line(&page::object(&evidence)).unwrap();
    }
});
