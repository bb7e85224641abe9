//! What `--fail-if` takes: an expression over what a trace or a comparison has found.
//!
//! ```text
//! p99_ms{state="AO", map="mpatha"} > 5
//! non_optimized_avoidable_share > 1%
//! regression(p99) > 2%
//! ```

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Metric;

#[derive(Debug, Args)]
pub(super) struct TraceGateArgs {
    /// Fail with status 3 where this is true at the end, such as 'p99_ms{state="AO"} > 5'; may be given several times
    #[arg(long = "fail-if", value_name = "EXPR", value_parser = of_trace)]
    gates: Vec<Gate>,
    /// Write which of them failed to this file, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ComparisonGateArgs {
    /// Fail with status 3 where this is true, such as 'regression(p99) > 2%'; may be given several times
    #[arg(long = "fail-if", value_name = "EXPR", value_parser = of_comparison)]
    gates: Vec<Gate>,
    /// Write which of them failed to this file, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ExperimentGateArgs {
    /// Fail with status 3 where this is true, such as 'regression(p99){factor="MTU"} > 2%'; may be given several times
    #[arg(long = "fail-if", value_name = "EXPR", value_parser = of_experiment)]
    gates: Vec<Gate>,
    /// Write which of them failed to this file, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// What must not be true.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gates {
    /// Each of these.
    pub gates: Vec<Gate>,
    /// Where JUnit's XML goes, if anywhere.
    pub junit: Option<PathBuf>,
}

impl From<TraceGateArgs> for Gates {
    fn from(TraceGateArgs { gates, junit }: TraceGateArgs) -> Self {
        Self { gates, junit }
    }
}

impl From<ComparisonGateArgs> for Gates {
    fn from(ComparisonGateArgs { gates, junit }: ComparisonGateArgs) -> Self {
        Self { gates, junit }
    }
}

impl From<ExperimentGateArgs> for Gates {
    fn from(ExperimentGateArgs { gates, junit }: ExperimentGateArgs) -> Self {
        Self { gates, junit }
    }
}

/// An expression: it fails where it is true.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// As it was typed.
    pub text: String,
    /// What is looked at.
    pub quantity: Quantity,
    /// Of what alone, by label.
    pub labels: Vec<(Label, String)>,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub limit: f64,
}

/// What can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Something of a trace.
    Trace(Name),
    /// By how much a metric is worse on the other side, as a part; of a comparison.
    Regression(Metric),
}

/// What a trace can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Reads and writes.
    Commands,
    /// Reads and writes per second of the trace.
    Iops,
    /// Data of these, in MiB per second.
    MibPerS,
    /// Mean latency in ms.
    Mean,
    /// A percentile of the latency in ms, in thousandths.
    Percentile(u16),
    /// Largest latency in ms.
    Max,
    /// Commands that ended with another result than 0.
    Errors,
    /// Part of the commands on paths in a known state that is not active/optimized.
    NonOptimizedShare,
    /// Part of the commands that went over such paths although better ones were usable.
    AvoidableShare,
    /// Ownership transfers.
    Transfers,
    /// Flags that were raised.
    Flags,
    /// Commands that are in no histogram, for whatever cause.
    Lost,
}

/// What narrows it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// An access state, as in the table: `AO`.
    State,
    /// A map.
    Map,
    /// A path, by H:C:T:L or device.
    Path,
    /// `read` or `write`.
    Class,
    /// Of a flag: `non-optimized-io`.
    Kind,
    /// Of an experiment.
    Factor,
}

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `<`
    Less,
    /// `<=`
    AtMost,
}

impl Operator {
    /// Whether it is true.
    #[must_use]
    pub fn is(self, value: f64, limit: f64) -> bool {
        match self {
            Self::More => value > limit,
            Self::AtLeast => value >= limit,
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
        }
    }
}

const OF_COMMANDS: &[Label] = &[Label::State, Label::Map, Label::Path, Label::Class];
const OF_MAPS: &[Label] = &[Label::Map];
/// What there is, and by which labels it can be narrowed down.
const NAMES: [(&str, Name, &[Label]); 15] = [
    ("commands", Name::Commands, OF_COMMANDS),
    ("iops", Name::Iops, OF_COMMANDS),
    ("mib_per_s", Name::MibPerS, OF_COMMANDS),
    ("mean_ms", Name::Mean, OF_COMMANDS),
    ("p50_ms", Name::Percentile(500), OF_COMMANDS),
    ("p90_ms", Name::Percentile(900), OF_COMMANDS),
    ("p99_ms", Name::Percentile(990), OF_COMMANDS),
    ("p999_ms", Name::Percentile(999), OF_COMMANDS),
    ("max_ms", Name::Max, OF_COMMANDS),
    ("errors", Name::Errors, OF_COMMANDS),
    ("non_optimized_share", Name::NonOptimizedShare, OF_MAPS),
    (
        "non_optimized_avoidable_share",
        Name::AvoidableShare,
        OF_MAPS,
    ),
    ("transfers", Name::Transfers, OF_MAPS),
    ("flags", Name::Flags, &[Label::Map, Label::Kind]),
    ("lost", Name::Lost, &[]),
];
const LABELS: [(&str, Label); 6] = [
    ("state", Label::State),
    ("map", Label::Map),
    ("path", Label::Path),
    ("class", Label::Class),
    ("kind", Label::Kind),
    ("factor", Label::Factor),
];
/// The longer ones first.
const OPERATORS: [(&str, Operator); 4] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    (">", Operator::More),
    ("<", Operator::Less),
];

/// An expression about a trace.
pub(super) fn of_trace(text: &str) -> Result<Gate, String> {
    let gate = gate(text)?;
    match gate.quantity {
        Quantity::Trace(_) => Ok(gate),
        Quantity::Regression(_) => Err(at(text, 0, "only `compare` knows of a regression")),
    }
}

/// An expression about a comparison.
pub(super) fn of_comparison(text: &str) -> Result<Gate, String> {
    let gate = of_experiment(text)?;
    match gate.labels.as_slice() {
        [] => Ok(gate),
        _ => Err(at(text, 0, "only `experiment` knows of factors")),
    }
}

/// An expression about an experiment.
pub(super) fn of_experiment(text: &str) -> Result<Gate, String> {
    let gate = gate(text)?;
    match gate.quantity {
        Quantity::Regression(_) => Ok(gate),
        Quantity::Trace(_) => Err(at(
            text,
            0,
            "of a comparison only regression(METRIC) is known",
        )),
    }
}

fn gate(text: &str) -> Result<Gate, String> {
    let mut parser = Parser { text, at: 0 };
    let (quantity, labels) = parser.quantity()?;
    let operator = parser.operator()?;
    let limit = parser.number()?;
    parser.skip();
    match parser.left() {
        "" => Ok(Gate {
            text: text.trim().to_owned(),
            quantity,
            labels,
            operator,
            limit,
        }),
        _ => Err(parser.expected("the end")),
    }
}

/// What is wrong where: the expression, and a mark below it.
fn at(text: &str, at: usize, what: &str) -> String {
    let column = text[..at].chars().count();
    format!("{what}\n\n    {text}\n    {}^\n", " ".repeat(column))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn left(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self) {
        self.at = self.text.len() - self.left().trim_start().len();
    }

    fn expected(&self, what: &str) -> String {
        at(self.text, self.at, &format!("expected {what}"))
    }

    /// Whether this comes next; it is passed then.
    fn comes(&mut self, token: &str) -> bool {
        self.skip();
        let comes = self.left().starts_with(token);
        self.at += if comes { token.len() } else { 0 };
        comes
    }

    fn demand(&mut self, token: &str) -> Result<(), String> {
        match self.comes(token) {
            true => Ok(()),
            false => Err(self.expected(token)),
        }
    }

    fn word(&mut self) -> &'a str {
        self.skip();
        let left = self.left();
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let end = left.find(|c| !is_of_word(c)).unwrap_or(left.len());
        self.at += end;
        &left[..end]
    }

    fn quantity(&mut self) -> Result<(Quantity, Vec<(Label, String)>), String> {
        self.skip();
        let begin = self.at;
        let word = self.word();
        if word == "regression" {
            let metric = self.metric()?;
            return Ok((Quantity::Regression(metric), self.labels(&[Label::Factor])?));
        }
        let known = NAMES.iter().find(|(name, ..)| *name == word);
        let Some((_, name, allowed)) = known else {
            let names: Vec<&str> = NAMES.iter().map(|(name, ..)| *name).collect();
            let what = format!("expected one of {}, regression(METRIC)", names.join(", "));
            return Err(at(self.text, begin, &what));
        };
        let labels = self.labels(allowed)?;
        Ok((Quantity::Trace(*name), labels))
    }

    /// A metric in parentheses.
    fn metric(&mut self) -> Result<Metric, String> {
        self.demand("(")?;
        self.skip();
        let begin = self.at;
        let metric = Metric::from_str(self.word(), true).map_err(|_| {
            let names = Metric::value_variants().iter();
            let names = names.filter_map(|it| Some(it.to_possible_value()?.get_name().to_owned()));
            let what = format!("expected one of {}", names.collect::<Vec<_>>().join(", "));
            at(self.text, begin, &what)
        })?;
        self.demand(")")?;
        Ok(metric)
    }

    fn labels(&mut self, allowed: &[Label]) -> Result<Vec<(Label, String)>, String> {
        let mut labels = Vec::new();
        if !self.comes("{") {
            return Ok(labels);
        }
        loop {
            self.skip();
            let begin = self.at;
            let word = self.word();
            let known = LABELS
                .iter()
                .find(|(name, label)| *name == word && allowed.contains(label));
            let Some((_, label)) = known else {
                let names = LABELS.iter().filter(|(_, label)| allowed.contains(label));
                let names: Vec<&str> = names.map(|(name, _)| *name).collect();
                let what = match names.as_slice() {
                    [] => "this has no labels".to_owned(),
                    names => format!("expected one of {}", names.join(", ")),
                };
                return Err(at(self.text, begin, &what));
            };
            self.demand("=")?;
            labels.push((*label, self.quoted()?));
            if self.comes("}") {
                return Ok(labels);
            }
            if !self.comes(",") {
                return Err(self.expected(", or }"));
            }
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.demand("\"")?;
        let left = self.left();
        match left.split_once('"') {
            Some((inside, _)) => {
                self.at += inside.len() + 1;
                Ok(inside.to_owned())
            }
            None => Err(at(self.text, self.text.len(), "expected \"")),
        }
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let found = OPERATORS.iter().find(|(token, _)| self.comes(token));
        found.map_or_else(|| Err(self.expected("> >= < or <=")), |(_, it)| Ok(*it))
    }

    /// A number, or one in percent.
    fn number(&mut self) -> Result<f64, String> {
        self.skip();
        let begin = self.at;
        let number: Option<f64> = self.word().parse().ok().filter(|it: &f64| it.is_finite());
        let number = number.ok_or_else(|| at(self.text, begin, "expected a number"))?;
        Ok(if self.comes("%") {
            number / 100.0
        } else {
            number
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_say() {
        let it = of_trace(" p99_ms{state=\"AO\",map = \"mp a\"}>=5 ").unwrap();
        assert_eq!(it.text, "p99_ms{state=\"AO\",map = \"mp a\"}>=5");
        assert_eq!(it.quantity, Quantity::Trace(Name::Percentile(990)));
        let label = |label, value: &str| (label, value.to_owned());
        assert_eq!(
            it.labels,
            [label(Label::State, "AO"), label(Label::Map, "mp a")]
        );
        assert_eq!((it.operator, it.limit), (Operator::AtLeast, 5.0));
        let it = of_trace("non_optimized_avoidable_share > 1.5 %").unwrap();
        assert_eq!(
            (it.quantity, it.limit),
            (Quantity::Trace(Name::AvoidableShare), 0.015)
        );
        let it = of_comparison("regression( p99.9 ) > 2%").unwrap();
        assert_eq!(it.quantity, Quantity::Regression(Metric::P999Ns));
        assert!(Operator::More.is(2.0, 1.0) && !Operator::More.is(1.0, 1.0));
        assert!(Operator::AtMost.is(1.0, 1.0) && !Operator::Less.is(1.0, 1.0));
    }

    #[test]
    fn what_is_wrong_is_marked() {
        for (text, column, what) in [
            ("", 0, "expected one of commands"),
            ("p98_ms > 1", 0, "expected one of commands"),
            ("p99_ms >> 1", 8, "expected a number"),
            ("p99_ms > 1ms", 9, "expected a number"),
            ("p99_ms = 1", 7, "expected > >= < or <="),
            ("lost > 0 0", 9, "expected the end"),
            ("lost > NaN", 7, "expected a number"),
            ("lost{map=\"a\"} > 0", 5, "this has no labels"),
            (
                "iops{kind=\"a\"} > 0",
                5,
                "expected one of state, map, path, class",
            ),
            ("iops{map=a} > 0", 9, "expected \""),
            ("iops{map=\"ä} > 0", 16, "expected \""),
            ("iops{map=\"ä\" > 0", 13, "expected , or }"),
            ("regression(p99) > 0", 0, "only `compare`"),
        ] {
            let error = of_trace(text).unwrap_err();
            assert!(error.starts_with(what), "{text}: {error}");
            let mark = error.lines().find(|line| line.trim() == "^").unwrap();
            assert_eq!(mark.len() - 5, column, "{text}: {error}");
        }
        assert!(
            of_comparison("lost > 0")
                .unwrap_err()
                .starts_with("of a comparison")
        );
        let of_factor = "regression(p99){factor=\"MTU\"} > 0";
        assert!(
            of_comparison(of_factor)
                .unwrap_err()
                .starts_with("only `experiment`")
        );
        assert_eq!(of_experiment(of_factor).unwrap().labels[0].1, "MTU");
        assert!(
            of_comparison("regression(p98) > 0")
                .unwrap_err()
                .contains("p99.9")
        );
    }
}
