//! Owns the words of a line of multipath.conf (libmultipath/parser.c `alloc_strvec`): white space
//! parts them, and so does what is not ASCII; quotes keep them together, `#` and `!` begin a
//! comment.

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a value.
    Word(String),
    /// A value in quotes, and whether they are closed.
    Quoted(String, bool),
    /// `{`, not in quotes.
    Open,
    /// `}`, not in quotes.
    Close,
}

impl Token {
    /// What it stands for where only a value can stand.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Word(word) | Self::Quoted(word, _) => word,
            Self::Open => "{",
            Self::Close => "}",
        }
    }
}

/// Most tokens of one line that are looked at: a keyword and its value are two.
const MAX_TOKENS: usize = 64;

/// The tokens of one line.
pub(super) fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start_matches(is_blank);
    while let Some(first) = rest.chars().next() {
        if tokens.len() >= MAX_TOKENS {
            break;
        }
        rest = match first {
            '#' | '!' => break,
            '{' => {
                tokens.push(Token::Open);
                &rest[1..]
            }
            '}' => {
                tokens.push(Token::Close);
                &rest[1..]
            }
            '"' => {
                let (text, after) = quoted(&rest[1..]);
                tokens.push(Token::Quoted(text, after.is_some()));
                after.unwrap_or_default()
            }
            _ => {
                let end = rest.find(ends_word).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..end].to_owned()));
                &rest[end..]
            }
        }
        .trim_start_matches(is_blank);
    }
    tokens
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || !c.is_ascii()
}

fn ends_word(c: char) -> bool {
    is_blank(c) || matches!(c, '"' | '#' | '!' | '{' | '}')
}

/// The string up to the closing quote, and what follows it; two quotes stand for one.
fn quoted(text: &str) -> (String, Option<&str>) {
    let mut value = String::new();
    let mut rest = text;
    while let Some((part, after)) = rest.split_once('"') {
        value.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                value.push('"');
                rest = after;
            }
            None => return (value, Some(after)),
        }
    }
    value.push_str(rest);
    (value, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let show = |token| match token {
            Token::Word(text) | Token::Quoted(text, _) => text,
            Token::Open => "<{>".to_owned(),
            Token::Close => "<}>".to_owned(),
        };
        tokens(line).into_iter().map(show).collect()
    }

    #[test]
    fn quotes_keep_words_together_and_comments_end_a_line() {
        for (line, expected) in [
            ("  device {  ", vec!["device", "<{>"]),
            ("device{", vec!["device", "<{>"]),
            ("}", vec!["<}>"]),
            ("vendor \"a # b ! { c\"  # d", vec!["vendor", "a # b ! { c"]),
            ("product \"2.5\"\" SSD\"", vec!["product", "2.5\" SSD"]),
            ("product \"\"", vec!["product", ""]),
            ("product MD36xx(i|f)", vec!["product", "MD36xx(i|f)"]),
            ("features\t\"0\"!x", vec!["features", "0"]),
            ("prio alua#x", vec!["prio", "alua"]),
            ("# prio alua", vec![]),
            ("! prio alua", vec![]),
            ("prio é-é \"é\"", vec!["prio", "-", "é"]),
            ("", vec![]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn a_string_says_whether_it_is_closed() {
        for (line, text, closed) in [
            ("\"DELL", "DELL", false),
            ("\"", "", false),
            ("\"a\"\"", "a\"", false),
            ("\"a\"", "a", true),
            ("\"\"", "", true),
        ] {
            assert_eq!(tokens(line), [Token::Quoted(text.to_owned(), closed)]);
        }
    }

    #[test]
    fn a_line_has_a_limit() {
        assert_eq!(tokens(&"a ".repeat(MAX_TOKENS + 1)).len(), MAX_TOKENS);
    }
}
