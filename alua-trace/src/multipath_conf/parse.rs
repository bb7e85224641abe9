//! Owns the syntax of multipath.conf as multipath-tools read it (libmpathutil/parser.c
//! `validate_config_strvec`, `process_stream`): text to sections and settings with their lines.
//! Pure. What is not read becomes a note; nothing is fatal.
//!
//! Every line is a statement. A keyword that is a section where it stands opens it, with or without
//! its brace; a line that begins with a closing brace closes the innermost section. A line with a
//! keyword that is none there is dropped, and its brace opens nothing: the brace that was meant to
//! close it closes the section around it.

use super::keywords::{
    GONE_SECTION, NEWEST, RETIRED, Release, Standing, is_keyword, one_name, standing,
};
use super::lexer::{Token, tokens};
use super::meant;
use super::section::{File, Kind, Refusal, Section, Setting};
use super::values::{self, Reading};

mod notes;

use notes::Notes;

/// Settings of one section; the longest there can be has some 60.
const MAX_SETTINGS: usize = 256;
/// Sections below one: maps or devices that are configured.
const MAX_SECTIONS: usize = 8192;
/// Refusals of one file.
const MAX_REFUSALS: usize = 20;
/// What `read_line` takes at once, in bytes (libmpathutil/parser.h `MAXBUF`, less its NUL).
const MAX_LINE: usize = 1023;

/// Reads the text of a file as the newest release does.
pub fn parse(name: &str, text: &str) -> File {
    parse_as(name, text, NEWEST)
}

/// Reads the text of a file as `release` does.
pub fn parse_as(name: &str, text: &str, release: Release) -> File {
    let mut parser = Parser {
        release,
        sections: Vec::new(),
        open: Vec::new(),
        refusals: Vec::new(),
        notes: Notes::new(name),
    };
    for (line, text) in (1_u32..).zip(text.split('\n')) {
        parser.notes.line = line;
        for piece in pieces(text) {
            parser.read_line(piece);
        }
    }
    parser.finish(text)
}

/// A line in the pieces that are read one by one, each up to its first carriage return or NUL.
fn pieces(mut line: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = line.floor_char_boundary(MAX_LINE);
        let (piece, rest) = line.split_at(end);
        line = rest;
        let blanks = piece.len() - piece.trim_start_matches('\r').len();
        let text = piece.get(blanks..)?;
        let text = text.split(['\r', '\0']).next()?;
        (!piece.is_empty()).then_some(text)
    })
}

struct Parser {
    release: Release,
    sections: Vec<Section>,
    /// The sections that are open, outermost first.
    open: Vec<Section>,
    refusals: Vec<Refusal>,
    notes: Notes,
}

impl Parser {
    fn read_line(&mut self, text: &str) {
        let tokens = tokens(text);
        match tokens.as_slice() {
            [] => {}
            [Token::Open, ..] => self.notes.brace(self.open.len()),
            [Token::Close, rest @ ..] => {
                self.notes.no_brace();
                self.notes.extra_behind_brace(rest);
                self.leave();
            }
            [Token::Word(word), rest @ ..] => {
                self.notes.no_brace();
                self.read_statement(word, rest);
            }
            [Token::Quoted(word, _), rest @ ..] => {
                self.notes.no_brace();
                self.notes.add(format!(
                    "'{word}' is in quotes, which no keyword is: ignored"
                ));
                self.drop_brace(word, rest);
            }
        }
    }

    fn read_statement(&mut self, word: &str, rest: &[Token]) {
        if !needs_brace(word) && rest.is_empty() {
            return self.without_value(word);
        }
        match self.section_named(word) {
            Some(kind) => self.enter(kind, word, rest),
            None if Kind::new(word).is_some() && !self.is_setting(word) => {
                self.misplaced(word, rest);
            }
            None if rest.first() == Some(&Token::Open) && !is_keyword(word) => {
                self.no_section(word);
            }
            None => self.set(word, rest),
        }
    }

    /// The section that `word` opens where it stands.
    fn section_named(&self, word: &str) -> Option<Kind> {
        let kind = Kind::new(word)?;
        let parent = self.open.last().map(|section| section.kind);
        (kind.fits(parent) && kind.since() <= self.release).then_some(kind)
    }

    /// Whether `word` is a keyword with a value where it stands, such as `protocol` in a blacklist.
    fn is_setting(&self, word: &str) -> bool {
        self.open.last().is_some_and(|section| {
            let standing = standing(word, section.kind, false, self.release);
            matches!(standing, Standing::Read(_))
        })
    }

    fn without_value(&mut self, word: &str) {
        if self.section_named(word).is_some() {
            self.notes.section_without_brace(word);
        } else if self.notes.is_at_home(self.open.len()) {
            self.notes.add(format!("'{word}' has no value: ignored"));
        } else {
            self.notes.stray();
        }
    }

    fn enter(&mut self, kind: Kind, word: &str, rest: &[Token]) {
        match rest {
            [Token::Open, extra @ ..] => self.notes.extra_behind_brace(extra),
            _ => self.notes.brace_below(word),
        }
        self.notes.entered();
        self.open.push(Section {
            kind,
            line: self.notes.line,
            settings: Vec::new(),
            sections: Vec::new(),
        });
    }

    /// A section's name where it opens none.
    fn misplaced(&mut self, word: &str, rest: &[Token]) {
        let Some(kind) = Kind::new(word) else { return };
        let text = match self.open.last() {
            _ if kind.since() > self.release => format!(
                "multipath-tools know '{word}' since {}: the line is ignored",
                kind.since()
            ),
            None => format!(
                "a {word} section outside of `{} {{ … }}`: multipath-tools ignore it there",
                kind.usual_parent().name()
            ),
            Some(outer) => format!(
                "'{word}' is no section of '{}' (line {}), whose closing brace may be missing: \
                 multipath-tools ignore the line and read on in '{}'",
                outer.kind.name(),
                outer.line,
                outer.kind.name()
            ),
        };
        self.notes.broken(text);
        self.drop_brace(word, rest);
    }

    fn no_section(&mut self, word: &str) {
        let (gone, last) = GONE_SECTION;
        let text = if word == gone {
            format!("multipath-tools know '{gone}' up to {last}: newer ones ignore it")
        } else {
            format!("no section is called '{word}': multipath-tools ignore it")
        };
        self.notes.broken(text);
        self.notes.phantom(word, self.open.len());
    }

    /// The brace on a line that is ignored opens nothing.
    fn drop_brace(&mut self, word: &str, rest: &[Token]) {
        if rest.first() == Some(&Token::Open) || needs_brace(word) {
            self.notes.phantom(word, self.open.len());
        }
    }

    fn leave(&mut self) {
        let depth = self.open.len();
        let Some(section) = self.open.pop() else {
            return self.notes.closes_nothing();
        };
        self.notes.closes(&section, depth);
        self.close(section);
    }

    /// Hands a section to the one around it, or to the file.
    fn close(&mut self, section: Section) {
        let siblings = match self.open.last_mut() {
            Some(parent) => &mut parent.sections,
            None => &mut self.sections,
        };
        if siblings.len() < MAX_SECTIONS {
            siblings.push(section);
        } else {
            let text = format!("more than {MAX_SECTIONS} sections: ignored");
            self.notes.add_at(section.line, text);
        }
    }

    fn set(&mut self, keyword: &str, rest: &[Token]) {
        let Some(section) = self.open.last() else {
            if self.notes.is_at_home(0) {
                let text = format!("'{keyword}' outside of any section: ignored");
                self.notes.add(text);
            } else {
                self.notes.stray();
            }
            return;
        };
        let (kind, name) = (section.kind, section.kind.name());
        let in_blacklist = self.open.iter().any(|section| section.kind.is_blacklist());
        match standing(keyword, kind, in_blacklist, self.release) {
            Standing::Elsewhere | Standing::Unknown | Standing::Gone(_)
                if !self.notes.is_at_home(self.open.len()) =>
            {
                self.notes.stray();
            }
            Standing::Elsewhere => self
                .notes
                .add(format!("'{keyword}' is not read in '{name}': ignored")),
            Standing::Gone(last) => self.notes.add(format!(
                "multipath-tools know '{keyword}' up to {last}: newer ones ignore it"
            )),
            // Those that older releases knew are kept: they are findings.
            Standing::Unknown if !RETIRED.contains(&keyword) => self.notes.add(format!(
                "no version of multipath-tools knows '{keyword}': ignored"
            )),
            Standing::Idle(since) if !RETIRED.contains(&keyword) && !keyword.starts_with("rr_") => {
                self.notes.add(format!(
                    "'{keyword}' does nothing since multipath-tools {since}"
                ));
                self.assign(keyword, rest, in_blacklist);
            }
            Standing::Read(Some(since)) => {
                self.notes.add(format!(
                    "multipath-tools know '{keyword}' since {since}: older ones ignore it"
                ));
                self.assign(keyword, rest, in_blacklist);
            }
            Standing::Read(None) | Standing::Idle(_) | Standing::Unknown => {
                self.assign(keyword, rest, in_blacklist);
            }
        }
    }

    fn assign(&mut self, keyword: &str, rest: &[Token], in_blacklist: bool) {
        let [value, extra @ ..] = rest else { return };
        if let Token::Quoted(_, false) = value {
            self.notes
                .add("the quotes are not closed: read to the end of the line");
        }
        self.notes.extra(extra);
        if !self.notes.is_at_home(self.open.len()) {
            self.notes.read_all_the_same(keyword, self.open.last());
        }
        let keyword = one_name(keyword);
        let text = value.text();
        match values::read(keyword, text, in_blacklist, self.release) {
            Reading::Value(value) => self.keep(keyword, value),
            Reading::Capped(value) => {
                self.notes.add(format!(
                    "{text} is beyond the limits of {keyword}: multipath-tools take {value}"
                ));
                self.keep(keyword, value);
            }
            Reading::Unset => self.unset(keyword),
            Reading::Invalid(why) => self.notes.add(format!(
                "'{text}' is no value of {keyword}, and ignored: {why}"
            )),
            Reading::Refused(why) => self.refuse(&format!("{keyword} {why}")),
        }
    }

    fn keep(&mut self, keyword: &str, value: String) {
        let line = self.notes.line;
        let Some(section) = self.open.last_mut() else {
            return;
        };
        if section.settings.len() < MAX_SETTINGS {
            section.settings.push(Setting {
                keyword: keyword.to_owned(),
                value,
                line,
            });
        } else if !section.kind.is_blacklist() {
            let name = section.kind.name();
            self.notes.add(format!(
                "more than {MAX_SETTINGS} settings in '{name}': ignored"
            ));
        }
    }

    /// As if the section had not set it. Sections that there is one of, however often it is opened,
    /// keep an empty value, which takes back what earlier ones set.
    fn unset(&mut self, keyword: &str) {
        let Some(section) = self.open.last_mut() else {
            return;
        };
        section
            .settings
            .retain(|setting| setting.keyword != keyword);
        if matches!(section.kind, Kind::Defaults | Kind::Overrides) {
            self.keep(keyword, String::new());
        }
    }

    fn refuse(&mut self, why: &str) {
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push(Refusal {
                at: self.notes.here(),
                why: why.to_owned(),
                // blacklist.c `setup_default_blist` reads it when all files have been read.
                wherever: why.starts_with("product_blacklist"),
            });
        }
    }

    fn finish(mut self, text: &str) -> File {
        while let Some(section) = self.open.pop() {
            self.notes.never_closed(&section);
            self.close(section);
        }
        let (name, notes, is_broken) = self.notes.finish();
        File {
            meant: is_broken.then(|| meant::sections(text)),
            name,
            sections: self.sections,
            refusals: self.refusals,
            notes,
        }
    }
}

/// The words after which a brace is looked for (`is_sublevel_keyword`): `overrides` and `protocol`
/// are not among them.
fn needs_brace(word: &str) -> bool {
    let exceptions = [Kind::Overrides, Kind::Protocol];
    Kind::new(word).is_some_and(|kind| !exceptions.contains(&kind))
}

#[cfg(test)]
mod tests;
