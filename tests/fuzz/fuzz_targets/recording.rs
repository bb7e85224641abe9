//! A recording: any bytes as a file, or, behind a first byte that is odd, as the payload of a frame of inputs,
//! which no checksum guards then. An engine takes what they say, and what it says of them is safe to print.

#![no_main]

use std::io::Cursor;

use alua_trace::engine::{Engine, Input, Wanted};
use alua_trace::model::Start;
use alua_trace::record::Decoder;
use alua_trace::record::reader::{Reader, Taker};
use alua_trace::report::lines::Lines;
use alua_trace::{json, model, report, safe};
use libfuzzer_sys::fuzz_target;

struct Replay {
    engine: Engine,
    lines: Lines,
}

impl Taker for Replay {
    fn start(&mut self, start: Start) {
        self.show(&model::Line::Start(start));
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
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((pick, input)) = data.split_first() else {
        return;
    };
    let wanted = Wanted {
        maps: Vec::new(),
        commands: pick & 2 != 0,
    };
    let mut replay = Replay {
        engine: Engine::new(wanted),
        lines: Lines::new(0),
    };
    if pick & 1 == 0 {
        if let Ok(mut reader) = Reader::new(Cursor::new(input)) {
            let _ = reader.read(&mut replay);
        }
    } else {
        let mut take = |at_ns, input: Input<'_>| replay.input(at_ns, input);
        let _ = Decoder::new().unwrap().inputs(input, &mut take);
    }
});
