//! Owns the syntax of multipath.conf: text to sections and settings with their lines. Pure. What is
//! not understood becomes a note; nothing is fatal. It is more forgiving than multipath-tools, and
//! says where it is.

use super::keywords::{RETIRED, Standing, is_keyword, standing};
use super::lexer::{Token, tokens};
use super::section::{File, Kind, Line, Note, Section, Setting};

/// Settings of one section; the longest there can be has some 60.
const MAX_SETTINGS: usize = 256;
/// Sections below one: maps or devices that are configured.
const MAX_SECTIONS: usize = 8192;
/// Notes on one file.
const MAX_NOTES: usize = 50;

/// Reads the text of a file.
pub fn parse(name: &str, text: &str) -> File {
    let mut parser = Parser::new(name);
    for (line, text) in (1_u32..).zip(text.lines()) {
        parser.line = line;
        parser.read_line(text);
    }
    parser.finish()
}

struct Parser {
    file: File,
    /// The sections that are open, outermost first.
    open: Vec<Section>,
    /// Sections that are open inside of one that is not understood, including that one.
    skipping: u32,
    /// The line before named a section, without its brace.
    brace_is_due: bool,
    line: u32,
    n_notes: usize,
}

impl Parser {
    fn new(name: &str) -> Self {
        let file = File {
            name: name.into(),
            sections: Vec::new(),
            notes: Vec::new(),
        };
        Self {
            file,
            open: Vec::new(),
            skipping: 0,
            brace_is_due: false,
            line: 0,
            n_notes: 0,
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.note_at(self.line, text);
    }

    fn note_at(&mut self, line: u32, text: impl Into<String>) {
        self.n_notes += 1;
        if self.n_notes <= MAX_NOTES {
            let file = self.file.name.clone();
            self.file.notes.push(Note {
                at: Some(Line { file, line }),
                text: text.into(),
            });
        }
    }

    fn read_line(&mut self, text: &str) {
        let (tokens, complaint) = tokens(text);
        if let Some(complaint) = complaint {
            self.note(complaint);
        }
        let mut rest = tokens.as_slice();
        while !rest.is_empty() {
            rest = match self.skipping {
                0 => self.read_statement(rest),
                _ => self.skip(rest),
            };
            if !rest.is_empty() && self.skipping == 0 {
                let next = rest.first().map_or("", Token::text);
                self.note(format!("multipath-tools ignore what begins with '{next}'"));
            }
        }
    }

    /// Reads what a line begins with, which is all that multipath-tools read of it; gives the rest.
    /// A section that is written in one line is read all the same.
    fn read_statement<'a>(&mut self, tokens: &'a [Token]) -> &'a [Token] {
        let brace_is_due = std::mem::take(&mut self.brace_is_due);
        match tokens {
            [Token::Open, rest @ ..] => {
                if !brace_is_due {
                    self.note("a brace without the name of a section: ignored with all in it");
                    self.skipping += 1;
                }
                rest
            }
            [Token::Close, rest @ ..] => {
                self.leave();
                rest
            }
            [Token::Word(word), rest @ ..] => match (Kind::new(word), rest) {
                (Some(kind), [Token::Open, rest @ ..]) => {
                    self.open_section(kind);
                    rest
                }
                (Some(kind), rest) => {
                    self.open_section(kind);
                    self.note(format!("there is no brace behind '{word}'"));
                    self.brace_is_due = rest.is_empty();
                    after_words(rest)
                }
                (None, [Token::Open, rest @ ..]) if !is_keyword(word) => {
                    self.note(format!(
                        "no section is called '{word}': ignored with all in it"
                    ));
                    self.skipping += 1;
                    rest
                }
                (None, [value, rest @ ..]) => {
                    self.set(word, value.text());
                    self.note_extra(rest)
                }
                (None, []) => {
                    self.note(format!("'{word}' has no value: ignored"));
                    &[]
                }
            },
            [] => &[],
        }
    }

    /// Words behind a value are no value; a brace behind it may be meant to close the section.
    fn note_extra<'a>(&mut self, rest: &'a [Token]) -> &'a [Token] {
        let after = after_words(rest);
        if let (Some(extra), true) = (rest.first(), after.len() < rest.len()) {
            self.note(format!(
                "multipath-tools ignore what begins with '{}'",
                extra.text()
            ));
        }
        after
    }

    /// In a section that is not understood only braces matter.
    fn skip<'a>(&mut self, tokens: &'a [Token]) -> &'a [Token] {
        match tokens.first() {
            Some(Token::Open) => self.skipping += 1,
            Some(Token::Close) => self.skipping -= 1,
            Some(Token::Word(_)) | None => {}
        }
        tokens.get(1..).unwrap_or_default()
    }

    fn set(&mut self, keyword: &str, value: &str) {
        let in_blacklist = self
            .open
            .iter()
            .any(|section| matches!(section.kind, Kind::Blacklist | Kind::BlacklistExceptions));
        let line = self.line;
        let Some(section) = self.open.last_mut() else {
            return self.note(format!("'{keyword}' outside of any section: ignored"));
        };
        let name = section.kind.name();
        match standing(keyword, section.kind, in_blacklist) {
            Standing::Elsewhere => {
                self.note(format!("'{keyword}' is not read in '{name}': ignored"));
            }
            // Those that older versions knew are kept: they are findings.
            Standing::Unknown if !RETIRED.contains(&keyword) => {
                self.note(format!(
                    "no version of multipath-tools knows '{keyword}': ignored"
                ));
            }
            Standing::Unknown | Standing::Read if section.settings.len() >= MAX_SETTINGS => {
                self.note(format!(
                    "more than {MAX_SETTINGS} settings in '{name}': ignored"
                ));
            }
            Standing::Unknown | Standing::Read => section.settings.push(Setting {
                keyword: keyword.to_owned(),
                value: value.to_owned(),
                line,
            }),
        }
    }

    fn open_section(&mut self, kind: Kind) {
        let parent = |depth: usize| Some(self.open.get(depth.checked_sub(1)?)?.kind);
        let fitting = (0..=self.open.len())
            .rev()
            .find(|depth| kind.fits(parent(*depth)));
        if let Some(depth) = fitting {
            self.close_down_to(depth);
        } else {
            self.close_down_to(0);
            let (name, parent) = (kind.name(), kind.usual_parent().name());
            self.note(format!(
                "a {name} section outside of `{parent} {{ … }}`: multipath-tools ignore it there; \
                 it is read as if it were inside"
            ));
        }
        self.open.push(Section {
            kind,
            line: self.line,
            settings: Vec::new(),
            sections: Vec::new(),
        });
    }

    /// A section that must be outside of those that are open: their braces are missing.
    fn close_down_to(&mut self, depth: usize) {
        while let Some(section) = self.open.get(depth..).and_then(<[Section]>::last) {
            let (line, name) = (section.line, section.kind.name());
            self.note(format!(
                "the brace that closes '{name}' of line {line} is missing"
            ));
            self.close();
        }
    }

    fn leave(&mut self) {
        if self.open.is_empty() {
            self.note("a brace closes nothing: ignored");
        }
        self.close();
    }

    /// Hands the innermost section to the one around it, or to the file.
    fn close(&mut self) {
        let Some(section) = self.open.pop() else {
            return;
        };
        let siblings = match self.open.last_mut() {
            Some(parent) => &mut parent.sections,
            None => &mut self.file.sections,
        };
        if siblings.len() < MAX_SECTIONS {
            siblings.push(section);
        } else {
            self.note_at(
                section.line,
                format!("more than {MAX_SECTIONS} sections: ignored"),
            );
        }
    }

    fn finish(mut self) -> File {
        if self.skipping > 0 {
            self.note("the brace that closes a section which was ignored is missing");
        }
        self.close_down_to(0);
        if let Some(more @ 1..) = self.n_notes.checked_sub(MAX_NOTES) {
            let text = format!("{more} more notes on {} are not shown", self.file.name);
            self.file.notes.push(Note { at: None, text });
        }
        self.file
    }
}

/// What follows the words at the beginning: nothing, or a brace that closes, and the rest.
fn after_words(tokens: &[Token]) -> &[Token] {
    let end = tokens.iter().position(|token| *token == Token::Close);
    tokens
        .get(end.unwrap_or(tokens.len())..)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
