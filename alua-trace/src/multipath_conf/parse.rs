//! Owns the syntax of multipath.conf: text to sections and settings with their lines. Pure. What is
//! not understood becomes a note; nothing is fatal. It is more forgiving than multipath-tools, and
//! says where it is.

use super::keywords::{RETIRED, Standing, standing};
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
    /// A keyword without value: the name of a section whose brace stands on the next line.
    lone: Option<(String, u32)>,
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
            lone: None,
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
        let (tokens, unclosed) = tokens(text);
        if unclosed {
            self.note("the quotes are not closed: read to the end of the line");
        }
        let closes = tokens.contains(&Token::Close);
        let opens = tokens.iter().position(|token| *token == Token::Open);
        if closes && tokens.len() > 1 || opens.is_some_and(|at| at + 1 < tokens.len()) {
            self.note("something beside a brace: multipath-tools do not read all of the line");
        }
        let mut words = Vec::new();
        for token in tokens {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open => self.enter(std::mem::take(&mut words)),
                Token::Close => {
                    self.statement(std::mem::take(&mut words));
                    self.leave();
                }
            }
        }
        self.statement(words);
    }

    fn statement(&mut self, words: Vec<String>) {
        let mut words = words.into_iter();
        let Some(keyword) = words.next() else {
            return;
        };
        self.complain_about_lone();
        if self.skipping > 0 {
            return;
        }
        match (words.next(), words.next()) {
            (None, _) => self.lone = Some((keyword, self.line)),
            (Some(value), extra) => {
                if let Some(extra) = extra {
                    self.note(format!("multipath-tools ignore what begins with '{extra}'"));
                }
                self.set(keyword, value);
            }
        }
    }

    fn set(&mut self, keyword: String, value: String) {
        let in_blacklist = self
            .open
            .iter()
            .any(|section| matches!(section.kind, Kind::Blacklist | Kind::BlacklistExceptions));
        let Some(section) = self.open.last_mut() else {
            return self.note(format!("'{keyword}' outside of any section: ignored"));
        };
        let kind = section.kind;
        if section.settings.len() >= MAX_SETTINGS {
            return self.note(format!(
                "more than {MAX_SETTINGS} settings in a section: ignored"
            ));
        }
        let line = self.line;
        match standing(&keyword, kind, in_blacklist) {
            Standing::Elsewhere => {
                let name = kind.name();
                self.note(format!("'{keyword}' is not read in '{name}': ignored"));
            }
            // Kept: it may be one that older versions knew, which is a finding.
            Standing::Unknown if !RETIRED.contains(&keyword.as_str()) => {
                self.note(format!(
                    "no version of multipath-tools knows '{keyword}': ignored"
                ));
            }
            Standing::Unknown | Standing::Read => {
                section.settings.push(Setting {
                    keyword,
                    value,
                    line,
                });
            }
        }
    }

    fn enter(&mut self, mut words: Vec<String>) {
        let lone = self.lone.take();
        let (name, line) = match (words.pop(), lone) {
            (Some(name), lone) => {
                self.lone = lone;
                self.complain_about_lone();
                (name, self.line)
            }
            (None, Some(lone)) => {
                self.note("multipath-tools want the brace on the line of the section's name");
                lone
            }
            (None, None) => (String::new(), self.line),
        };
        if let Some(word) = words.first() {
            self.note(format!("'{word}' before the name of a section: ignored"));
        }
        match Kind::new(&name) {
            Some(kind) if self.skipping == 0 => self.open_section(kind, line),
            Some(_) => self.skipping += 1,
            None => {
                if self.skipping == 0 {
                    self.note(format!(
                        "no section is called '{name}': ignored with all in it"
                    ));
                }
                self.skipping += 1;
            }
        }
    }

    fn open_section(&mut self, kind: Kind, line: u32) {
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
            line,
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
        self.complain_about_lone();
        if self.skipping > 0 {
            self.skipping -= 1;
        } else if self.open.is_empty() {
            self.note("a brace closes nothing: ignored");
        } else {
            self.close();
        }
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

    fn complain_about_lone(&mut self) {
        if let Some((keyword, line)) = self.lone.take() {
            self.note_at(line, format!("'{keyword}' has no value: ignored"));
        }
    }

    fn finish(mut self) -> File {
        self.complain_about_lone();
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

#[cfg(test)]
mod tests;
