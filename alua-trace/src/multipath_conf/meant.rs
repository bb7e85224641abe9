//! Owns what the author of a multipath.conf with mistakes may have meant: braces that are missing,
//! sections outside of where they belong, sections in one line. Pure.

use super::keywords::{NEWEST, RETIRED, Standing, is_keyword, one_name, standing};
use super::lexer::{Token, tokens};
use super::section::{Kind, Section, Setting};
use super::values::{self, Reading};

/// Settings of one section.
const MAX_SETTINGS: usize = 256;
/// Sections below one.
const MAX_SECTIONS: usize = 8192;

/// The sections of a text, as forgiving as can be.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut reader = Reader::default();
    for (line, text) in (1_u32..).zip(text.lines()) {
        reader.line = line;
        let tokens = tokens(text);
        let mut rest = tokens.as_slice();
        while !rest.is_empty() {
            rest = match reader.skipping {
                0 => reader.read_statement(rest),
                _ => reader.skip(rest),
            };
        }
    }
    reader.close_down_to(0);
    reader.sections
}

#[derive(Default)]
struct Reader {
    sections: Vec<Section>,
    /// The sections that are open, outermost first.
    open: Vec<Section>,
    /// Sections that are open inside of one that is not understood, including that one.
    skipping: u32,
    /// The line before named a section, without its brace.
    brace_is_due: bool,
    line: u32,
}

impl Reader {
    /// Reads what a line begins with; gives the rest.
    fn read_statement<'a>(&mut self, tokens: &'a [Token]) -> &'a [Token] {
        let brace_is_due = std::mem::take(&mut self.brace_is_due);
        match tokens {
            [Token::Open, rest @ ..] => {
                self.skipping += u32::from(!brace_is_due);
                rest
            }
            [Token::Close, rest @ ..] => {
                self.close();
                rest
            }
            [Token::Word(word) | Token::Quoted(word, _), rest @ ..] => {
                match (Kind::new(word), rest) {
                    (Some(kind), [Token::Open, rest @ ..]) if self.takes(kind) => {
                        self.open_section(kind);
                        rest
                    }
                    (Some(kind), rest) if self.takes(kind) => {
                        self.open_section(kind);
                        self.brace_is_due = rest.is_empty();
                        after_words(rest)
                    }
                    (None, [Token::Open, rest @ ..]) if !is_keyword(word) => {
                        self.skipping += 1;
                        rest
                    }
                    (_, [value, rest @ ..]) => {
                        self.set(word, value.text());
                        after_words(rest)
                    }
                    (_, []) => &[],
                }
            }
            [] => &[],
        }
    }

    /// Whether a word that is a section's name is one here: blacklists have a keyword `protocol`.
    fn takes(&self, kind: Kind) -> bool {
        let in_blacklist = self.open.last().is_some_and(|it| it.kind.is_blacklist());
        !(kind == Kind::Protocol && in_blacklist)
    }

    /// In a section that is not understood only braces matter.
    fn skip<'a>(&mut self, tokens: &'a [Token]) -> &'a [Token] {
        match tokens.first() {
            Some(Token::Open) => self.skipping += 1,
            Some(Token::Close) => self.skipping -= 1,
            Some(Token::Word(_) | Token::Quoted(..)) | None => {}
        }
        tokens.get(1..).unwrap_or_default()
    }

    fn set(&mut self, keyword: &str, text: &str) {
        let in_blacklist = self.open.iter().any(|section| section.kind.is_blacklist());
        let line = self.line;
        let Some(section) = self.open.last_mut() else {
            return;
        };
        let is_read = match standing(keyword, section.kind, in_blacklist, NEWEST) {
            Standing::Read(_) | Standing::Idle(_) => true,
            Standing::Elsewhere | Standing::Gone(_) => false,
            Standing::Unknown => RETIRED.contains(&keyword),
        };
        let reading = values::read(keyword, text, in_blacklist, NEWEST);
        if let (true, Reading::Value(value) | Reading::Capped(value)) = (is_read, reading)
            && section.settings.len() < MAX_SETTINGS
        {
            section.settings.push(Setting {
                keyword: one_name(keyword).to_owned(),
                value,
                line,
            });
        }
    }

    fn open_section(&mut self, kind: Kind) {
        let parent = |depth: usize| Some(self.open.get(depth.checked_sub(1)?)?.kind);
        let fitting = (0..=self.open.len())
            .rev()
            .find(|depth| kind.fits(parent(*depth)));
        self.close_down_to(fitting.unwrap_or(0));
        self.open.push(Section {
            kind,
            line: self.line,
            settings: Vec::new(),
            sections: Vec::new(),
        });
    }

    /// A section that must be outside of those that are open: their braces are missing.
    fn close_down_to(&mut self, depth: usize) {
        while self.open.len() > depth {
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
            None => &mut self.sections,
        };
        if siblings.len() < MAX_SECTIONS {
            siblings.push(section);
        }
    }
}

/// What follows the words at the beginning: nothing, or a brace that closes, and the rest.
fn after_words(tokens: &[Token]) -> &[Token] {
    let end = tokens.iter().position(|token| *token == Token::Close);
    tokens
        .get(end.unwrap_or(tokens.len())..)
        .unwrap_or_default()
}
