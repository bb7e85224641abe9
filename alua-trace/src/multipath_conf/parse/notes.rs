//! Owns what a person is told of lines that multipath-tools do not read, or read as something else:
//! one note for each mistake rather than for each of its consequences.

use std::sync::Arc;

use super::super::lexer::Token;
use super::super::section::{Line, Note, Section};

/// Notes on one file.
pub(super) const MAX_NOTES: usize = 50;

/// A brace that opened nothing, so that the one meant to close it closes something else.
struct Phantom {
    word: String,
    line: u32,
    /// Sections that were open.
    depth: usize,
}

/// What a brace alone in the next line would be.
#[derive(Default)]
enum Due {
    #[default]
    Nothing,
    /// That of a section which is open already.
    Opened,
    /// That of a section whose line was ignored.
    Ignored(String),
}

pub(super) struct Notes {
    pub(super) file: Arc<str>,
    /// The line that is read.
    pub(super) line: u32,
    notes: Vec<Note>,
    n_notes: usize,
    /// Whether some line is not read as what it was meant to be.
    broken: bool,
    phantoms: Vec<Phantom>,
    /// Sections that were closed by a brace meant for another.
    closed_early: u32,
    /// The first and the last line that are ignored because of it.
    strays: Option<(u32, u32)>,
    due: Due,
}

impl Notes {
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            line: 0,
            notes: Vec::new(),
            n_notes: 0,
            broken: false,
            phantoms: Vec::new(),
            closed_early: 0,
            strays: None,
            due: Due::Nothing,
        }
    }

    /// The place of the line that is read.
    pub(super) fn here(&self) -> Line {
        self.at(self.line)
    }

    fn at(&self, line: u32) -> Line {
        Line {
            file: self.file.clone(),
            line,
        }
    }

    pub(super) fn add(&mut self, text: impl Into<String>) {
        self.add_at(self.line, text);
    }

    pub(super) fn add_at(&mut self, line: u32, text: impl Into<String>) {
        self.n_notes += 1;
        if self.n_notes <= MAX_NOTES {
            self.notes.push(Note {
                at: Some(self.at(line)),
                text: text.into(),
            });
        }
    }

    /// A note on a line that is not read as it was meant.
    pub(super) fn broken(&mut self, text: impl Into<String>) {
        self.broken = true;
        self.add(text);
    }

    /// What stands behind a value.
    pub(super) fn extra(&mut self, rest: &[Token]) {
        if let Some(first) = rest.first() {
            let is_brace = |token: &Token| matches!(token, Token::Open | Token::Close);
            self.broken |= rest.iter().any(is_brace);
            self.add(format!(
                "multipath-tools ignore what begins with '{}'",
                first.text()
            ));
        }
    }

    /// What stands behind a brace: a section in one line has only its beginning read.
    pub(super) fn extra_behind_brace(&mut self, rest: &[Token]) {
        self.broken |= !rest.is_empty();
        self.extra(rest);
    }

    /// The brace of `word` should be in its line. It is read all the same, in the next line, too.
    pub(super) fn brace_below(&mut self, word: &str) {
        self.due = Due::Opened;
        self.add(format!("there is no brace behind '{word}'"));
    }

    /// Without its brace the line of `word` is an option without value.
    pub(super) fn section_without_brace(&mut self, word: &str) {
        self.due = Due::Ignored(word.to_owned());
        self.broken(format!(
            "there is no brace behind '{word}' in its line: multipath-tools ignore the whole section"
        ));
    }

    /// A line that begins with a brace that opens.
    pub(super) fn brace(&mut self, depth: usize) {
        match std::mem::take(&mut self.due) {
            Due::Opened => {}
            Due::Ignored(word) => self.phantom(&word, depth),
            Due::Nothing => {
                self.broken("a brace without the name of a section: ignored");
                self.phantom("", depth);
            }
        }
    }

    /// A line that begins with something else.
    pub(super) fn no_brace(&mut self) {
        self.due = Due::Nothing;
    }

    pub(super) fn phantom(&mut self, word: &str, depth: usize) {
        self.phantoms.push(Phantom {
            word: word.to_owned(),
            line: self.line,
            depth,
        });
    }

    /// A section was opened: it is where its author wanted it.
    pub(super) fn entered(&mut self) {
        self.flush_strays();
        self.closed_early = 0;
    }

    /// Whether lines stand where their author thinks, with so many sections open.
    pub(super) fn is_at_home(&self, depth: usize) -> bool {
        self.closed_early == 0 && self.phantoms.last().is_none_or(|it| it.depth != depth)
    }

    /// A line that is ignored because of an earlier one, which has its note.
    pub(super) fn stray(&mut self) {
        if self.closed_early > 0 {
            let first = self.strays.map_or(self.line, |(first, _)| first);
            self.strays = Some((first, self.line));
        }
    }

    /// A line that is read, though not as what its author thinks.
    pub(super) fn read_all_the_same(&mut self, keyword: &str, section: Option<&Section>) {
        if let Some(section) = section {
            let (name, line) = (section.kind.name(), section.line);
            self.broken(format!(
                "'{keyword}' is read as a setting of '{name}' (line {line})"
            ));
        }
    }

    /// A brace where no section is open.
    pub(super) fn closes_nothing(&mut self) {
        if self.phantoms.pop().is_some() {
            self.stray();
        } else if self.closed_early > 0 {
            self.stray();
            self.closed_early -= 1;
        } else {
            self.broken("a brace closes nothing: ignored");
        }
    }

    /// A brace closes `section`, the innermost of `depth`.
    pub(super) fn closes(&mut self, section: &Section, depth: usize) {
        while self.phantoms.last().is_some_and(|it| it.depth > depth) {
            self.phantoms.pop();
        }
        let Some(phantom) = self.phantoms.pop_if(|it| it.depth == depth) else {
            return;
        };
        let meant_for = match phantom.word.as_str() {
            "" => format!("the brace of line {}", phantom.line),
            word => format!("'{word}' (line {})", phantom.line),
        };
        let (name, line) = (section.kind.name(), section.line);
        self.broken(format!(
            "this brace, meant for {meant_for}, closes '{name}' (line {line}): what follows is read \
             outside of it"
        ));
        self.closed_early += 1;
    }

    /// The file ended within `section`.
    pub(super) fn never_closed(&mut self, section: &Section) {
        let (line, name) = (section.line, section.kind.name());
        self.add(format!(
            "the brace that closes '{name}' of line {line} is missing"
        ));
    }

    fn flush_strays(&mut self) {
        match self.strays.take() {
            Some((first, last)) if first == last => {
                self.add_at(first, "ignored, as it stands outside of any section");
            }
            Some((first, last)) => self.add_at(
                first,
                format!(
                    "lines {first} to {last} are ignored, as they stand outside of any section"
                ),
            ),
            None => {}
        }
    }

    /// The file's name, all notes, and whether some lines are not read as they were meant.
    pub(super) fn finish(mut self) -> (Arc<str>, Vec<Note>, bool) {
        self.flush_strays();
        if let Some(more @ 1..) = self.n_notes.checked_sub(MAX_NOTES) {
            let text = format!("{more} more notes on {} are not shown", self.file);
            self.notes.push(Note { at: None, text });
        }
        (self.file, self.notes, self.broken)
    }
}
