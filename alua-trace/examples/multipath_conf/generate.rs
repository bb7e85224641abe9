//! Generated configurations: what people write, and the mistakes they make.

use alua_trace::multipath_conf::{effective::Place, tables::Tables};

use crate::File;

/// Vendor, product and WWID.
pub type Pair = (String, String, Option<String>);

/// Pairs that are asked for.
const PAIRS: usize = 200;

const VENDORS: [&str; 8] = [
    "ACME", "DELL", "NETAPP", "IBM", "X", "LIO-ORG", "HITACHI", "SUN",
];
const PRODUCTS: [&str; 10] = [
    "One",
    "MD36xxi",
    "LUN C-Mode",
    "INF-01-00",
    "2107900",
    "Y2",
    "lun0",
    "E)",
    "OPEN-V",
    "",
];
const WWIDS: [&str; 3] = ["3600a", "3600b", "w*"];
const PATTERNS: [&str; 20] = [
    "ACME", "^DELL", "DELL", "^MD3", "MD36", "*", ".*", "(A|X)", "[A-Z]+", "(", "E)", "E{,3}",
    "(E)\\1", "!ACME", "\\!ACME", "NETAPP", "LUN", "[", "Y2$", "^NET",
];
/// Names of entries, most of them of the built-in table.
const NAMED: [(&str, &str); 4] = [
    ("DELL", "^MD3"),
    ("NETAPP", "LUN"),
    ("LENOVO", "DE_Series"),
    ("ACME", "One"),
];
/// Keywords and values for them: right ones, and those that look right.
const SETTINGS: [(&str, &[&str]); 13] = [
    (
        "path_grouping_policy",
        &[
            "multibus",
            "failover",
            "group_by_prio",
            "group_by_pri",
            "Multibus",
            "multibus2",
            "group_by_tpg",
            "group_by_serial",
        ],
    ),
    ("prio", &["alua", "const", "rdac", "", "sysfs x"]),
    ("prio_args", &["exclusive_pref_bit", "", "a b"]),
    (
        "detect_prio",
        &["yes", "no", "0", "1", "NO", "on", "off", " yes"],
    ),
    ("detect_pgpolicy", &["yes", "no", "true"]),
    ("path_checker", &["tur", "rdac", "directio", ""]),
    ("checker", &["tur", "hp_sw"]),
    (
        "hardware_handler",
        &[
            "1 alua", "1 rdac", "alua", "0", "2 alua", "", " 1  alua", "1\talua",
        ],
    ),
    (
        "failback",
        &[
            "immediate",
            " immediate",
            "manual",
            "10",
            " 10 ",
            "0",
            "-5",
            "10s",
            "followover",
            "99999999999",
            "+3",
            "0x10",
        ],
    ),
    (
        "no_path_retry",
        &["queue", "fail", "0", "12", "many", "-1", "3 ", "Queue"],
    ),
    (
        "features",
        &[
            "0",
            "1 queue_if_no_path",
            "2 pg_init_retries 50",
            "1 x y",
            "queue_if_no_path",
            "3 pg_init_retries 50 queue_if_no_path",
        ],
    ),
    (
        "path_selector",
        &[
            "round-robin 0",
            "service-time 0",
            "round-robin",
            "queue-length 1",
            "x 1 y",
        ],
    ),
    ("rr_min_io", &["100", "0", "1000x", " 5"]),
];
/// Other keywords, some of which no section or no release takes.
const OTHERS: [&str; 16] = [
    "rr_min_io_rq",
    "verbosity",
    "alias",
    "dev_loss_tmo",
    "fast_io_fail_tmo",
    "bl_product",
    "pg_timeout",
    "default_selector",
    "max_retries",
    "getuid_callout",
    "devnode",
    "property",
    "protocol",
    "type",
    "user_friendly_names",
    "brio",
];
const ODD_SECTIONS: [&str; 5] = [
    "devcie",
    "multipahts",
    "devnode_blacklist",
    "defaults",
    "device",
];

/// Makes files; the same for the same seed.
pub struct Generator(u64);

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// The main file, and sometimes one of `conf.d`.
    pub fn files(&mut self) -> Vec<File> {
        let mut files = vec![(Place::Main, self.file())];
        if self.one_in(4) {
            files.push((Place::Additional, self.file()));
        }
        files
    }

    fn file(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(6) {
            self.section(&mut text);
            if self.one_in(6) {
                self.noise(&mut text);
            }
        }
        if self.one_in(10) {
            text = text.replace('\n', "\r\n");
        }
        text
    }

    fn section(&mut self, text: &mut String) {
        match self.below(9) {
            0 => self.enclosed(text, "defaults", Self::settings),
            1 | 2 => self.enclosed(text, "overrides", |it, text| {
                it.settings(text);
                if it.one_in(3) {
                    it.enclosed(text, "protocol", Self::settings);
                }
            }),
            3..=5 => self.enclosed(text, "devices", |it, text| {
                for _ in 0..=it.below(4) {
                    it.enclosed(text, "device", Self::device);
                    if it.one_in(12) {
                        it.noise(text);
                    }
                }
            }),
            6 => self.enclosed(text, "multipaths", |it, text| {
                for _ in 0..=it.below(3) {
                    it.enclosed(text, "multipath", |it, text| {
                        let wwid = it.pick(&WWIDS);
                        it.line(text, "wwid", wwid);
                        it.settings(text);
                    });
                }
            }),
            7 => {
                let name = self.pick(&["blacklist", "blacklist_exceptions"]);
                self.enclosed(text, name, Self::blacklist);
            }
            _ => {
                let name = self.pick(&ODD_SECTIONS);
                self.enclosed(text, name, Self::settings);
            }
        }
    }

    fn device(&mut self, text: &mut String) {
        // Entries of one name are merged, those of the built-in table among them.
        if self.one_in(3) {
            let (vendor, product) = NAMED[self.below(NAMED.len())];
            text.push_str(&format!("vendor \"{vendor}\"\nproduct \"{product}\"\n"));
            return self.settings(text);
        }
        if !self.one_in(15) {
            let vendor = self.pick(&PATTERNS);
            self.line(text, "vendor", vendor);
        }
        if !self.one_in(15) {
            let product = self.pick(&PATTERNS);
            self.line(text, "product", product);
        }
        if self.one_in(8) {
            let revision = self.pick(&["12", "9", "*"]);
            self.line(text, "revision", revision);
        }
        self.settings(text);
        if self.one_in(20) {
            self.enclosed(text, "devcie", Self::settings);
        }
    }

    /// Mostly expressions, or most files would be refused.
    fn blacklist(&mut self, text: &mut String) {
        for _ in 0..=self.below(3) {
            let keyword = self.pick(&["devnode", "wwid", "property", "protocol"]);
            let pattern = if self.one_in(12) {
                self.pick(&PATTERNS)
            } else {
                self.pick(&["^sd", "scsi:usb", "!^sd", ".*"])
            };
            self.line(text, keyword, pattern);
        }
        if self.one_in(3) {
            self.enclosed(text, "device", |it, text| {
                let pattern = it.pick(&["ACME", "^Y", "!X"]);
                it.line(text, "vendor", pattern);
            });
        }
    }

    fn settings(&mut self, text: &mut String) {
        for _ in 0..=self.below(5) {
            if self.one_in(5) {
                let keyword = self.pick(&OTHERS);
                let value = self.pick(&["1", "tur", "x y", "scsi:fcp", "a/b"]);
                self.line(text, keyword, value);
            } else {
                let (keyword, values) = SETTINGS[self.below(SETTINGS.len())];
                let value = self.pick(values);
                self.line(text, keyword, value);
            }
        }
    }

    fn line(&mut self, text: &mut String, keyword: &str, value: &str) {
        let quoted = format!("\"{value}\"");
        let value = match self.below(16) {
            0 => format!("\"{value}"),
            1 => value.to_owned(),
            2 => format!("{quoted} x"),
            3 => format!("{quoted}#x"),
            4 if !value.contains(' ') && !value.is_empty() => value.to_owned(),
            5 if self.one_in(4) => String::new(),
            6 => format!("é {quoted}"),
            _ => quoted,
        };
        let indent = self.pick(&["\t", " ", "", "\t\t"]);
        text.push_str(&format!("{indent}{keyword} {value}\n"));
    }

    fn enclosed(&mut self, text: &mut String, name: &str, inner: impl Fn(&mut Self, &mut String)) {
        text.push_str(&match self.below(24) {
            0 => format!("{name}\n{{\n"),
            1 => format!("{name}{{\n"),
            2 => format!("{name} x\n"),
            3 => format!("{name}\n"),
            4 => format!("\"{name}\" {{\n"),
            5 => format!("{name} {{ prio hds\n"),
            _ => format!("{name} {{\n"),
        });
        inner(self, text);
        match self.below(24) {
            0 => {}
            1 => text.push_str("}}\n"),
            2 => text.push_str("} # end\n}\n"),
            _ => text.push_str("}\n"),
        }
    }

    fn noise(&mut self, text: &mut String) {
        let line = self.pick(&[
            "}",
            "{",
            "# x {",
            "!}",
            "prio alua",
            "x",
            "\"",
            "\u{1}",
            "prio {",
            "}{",
        ]);
        text.push_str(line);
        text.push('\n');
    }
}

/// What is asked for: names of the built-in entries as far as they are plain, and the generated ones.
pub fn subjects(base: &Tables) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (at, vendor) in VENDORS.iter().enumerate() {
        for product in PRODUCTS {
            let wwid = WWIDS.get(at % 4).map(|wwid| (*wwid).to_owned());
            pairs.push(((*vendor).to_owned(), product.to_owned(), wwid));
        }
    }
    let plain = |text: &str| -> String {
        text.chars()
            .filter(|c| !"^$()[]*+?\\".contains(*c))
            .collect()
    };
    for device in &base.devices {
        if let Some([Some(vendor), Some(product), _]) = device.names() {
            let first = |text: &str| plain(text.split('|').next().unwrap_or_default());
            pairs.push((first(&vendor), first(&product), None));
        }
    }
    pairs.truncate(PAIRS);
    pairs
}
