//! Faults that others found with files of their own, each with what is right: the program is run on
//! the files of `cases`, and its words and exit status are looked at.

use std::process::Command;

/// A run of the program on a file.
struct Case {
    file: &'static str,
    arguments: &'static [&'static str],
    status: i32,
    /// What must be in its output.
    says: &'static [&'static str],
    /// What must not.
    says_not: &'static [&'static str],
}

const CONF: &[&str] = &["doctor", "--multipath-conf"];

const CONFIGURATIONS: &[Case] = &[
    Case {
        file: "01-blacklist-star.txt",
        arguments: CONF,
        status: 1,
        says: &["problem: file-refused", ".txt:2"],
        says_not: &[],
    },
    Case {
        file: "02-invalid-value-last.txt",
        arguments: CONF,
        status: 1,
        says: &["problem: multibus", ".txt:6", ".txt:7: 'mulitbus'"],
        says_not: &[],
    },
    Case {
        file: "03-invalid-values.txt",
        arguments: CONF,
        status: 0,
        says: &[
            ".txt:5:",
            ".txt:6:",
            ".txt:7:",
            ".txt:8:",
            ".txt:9:",
            "no findings",
        ],
        says_not: &["failback-immediate"],
    },
    Case {
        file: "04-blacklist-protocol.txt",
        arguments: CONF,
        status: 0,
        says: &["no findings"],
        says_not: &["notes"],
    },
    Case {
        file: "05-known-array-multibus.txt",
        arguments: CONF,
        status: 1,
        says: &[
            "problem: multibus",
            ".txt:5",
            "prio rdac takes it for one (built in)",
        ],
        says_not: &[],
    },
    Case {
        file: "07-multibus-detect-pgpolicy.txt",
        arguments: CONF,
        status: 0,
        says: &["since 0.9.6", "no findings"],
        says_not: &["problem", "advice:"],
    },
    Case {
        file: "14-unknown-section-in-devices.txt",
        arguments: CONF,
        status: 1,
        says: &[
            ".txt:4: this brace, meant for 'devcie' (line 2), closes 'devices' (line 1)",
            "lines 6 to 11 are ignored",
            "as it may be meant",
        ],
        says_not: &[],
    },
    Case {
        file: "15-overrides-brace-next-line.txt",
        arguments: CONF,
        status: 1,
        says: &["ignore the whole section", "as it may be meant"],
        says_not: &[],
    },
    Case {
        file: "17-keywords.txt",
        arguments: CONF,
        status: 0,
        says: &[
            ".txt:2: 'hardware_handler' is not read in 'defaults'",
            ".txt:4:",
            "since 0.9.7",
        ],
        says_not: &[".txt:3", "no version"],
    },
    Case {
        file: "18-patterns.txt",
        arguments: CONF,
        status: 0,
        says: &["no findings"],
        says_not: &["pattern-invalid", "notes"],
    },
];

#[test]
fn configurations_are_judged_as_multipath_tools_would_judge_them() {
    check(CONFIGURATIONS);
}

fn check(cases: &[Case]) {
    for case in cases {
        let path = format!("{}/tests/cases/{}", env!("CARGO_MANIFEST_DIR"), case.file);
        let output = Command::new(env!("CARGO_BIN_EXE_alua-trace"))
            .args(case.arguments)
            .arg(path)
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        // Long lines are broken.
        let said = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = case.file;
        assert_eq!(output.status.code(), Some(case.status), "{name}: {printed}");
        for text in case.says {
            assert!(said.contains(text), "{name} lacks {text:?}: {printed}");
        }
        for text in case.says_not {
            assert!(!said.contains(text), "{name} has {text:?}: {printed}");
        }
    }
}
