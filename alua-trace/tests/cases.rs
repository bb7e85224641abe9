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

const PAGES: &[Case] = &[
    Case {
        file: "08-od-addresses.txt",
        arguments: &["decode", "--page", "rtpg"],
        status: 0,
        says: &[
            "page rtpg, 16 bytes",
            "group 7: id",
            "active/non-optimized (AN)",
            "relative target port 1",
        ],
        says_not: &["note"],
    },
    Case {
        file: "08-od-addresses.txt",
        arguments: &["decode", "--page", "cdb"],
        status: 0,
        says: &["TEST UNIT READY"],
        says_not: &["22 bytes"],
    },
    Case {
        file: "09-rtpg-words-extended.txt",
        arguments: &["decode", "--page", "rtpg"],
        status: 0,
        says: &["header extended", "implicit transition time 60"],
        says_not: &["truncated"],
    },
    Case {
        file: "10-stpg-failed.txt",
        arguments: &["decode", "--page", "sense"],
        status: 0,
        says: &["04/67/0A set target port groups command failed"],
        says_not: &[],
    },
    Case {
        file: "12-naa-other-length.txt",
        arguments: &["decode", "--page", "83"],
        status: 0,
        says: &[
            "as the kernel chooses it naa.60a1a7ace0000001",
            "note: malformed",
        ],
        says_not: &[],
    },
    Case {
        file: "13-import-words-name.txt",
        arguments: &["import", "--kind", "sg-vpd"],
        status: 0,
        says: &["eui.0A1A7ACE00000001"],
        says_not: &[],
    },
    Case {
        file: "19-inhex-form.txt",
        arguments: &["decode", "--page", "sense"],
        status: 0,
        says: &["06/2A/06 asymmetric access state changed"],
        says_not: &[],
    },
];

const IMPORTS: &[Case] = &[
    Case {
        file: "21-kernel-log-dm.txt",
        arguments: &["import"],
        status: 0,
        says: &[
            "table: 252:0: multipath: error attaching hardware handler",
            "8:16 multipathd mpatha: failed in domap for addition of new path sdb",
            "tur checker reports path is down",
            "mpatha: remaining active paths: 3",
        ],
        says_not: &["left out"],
    },
    Case {
        file: "22-show-paths.txt",
        arguments: &["import"],
        status: 0,
        says: &[
            "1:0:0:1 sdb 8:16 active running",
            "priority 10, checker faulty",
            "checker ghost",
        ],
        says_not: &["not understood"],
    },
    Case {
        file: "23-minus-l.txt",
        arguments: &["import"],
        status: 0,
        says: &["not known of", "multipath -ll does", "0:0:10:2 sdab"],
        says_not: &["priority 0", "unknown"],
    },
    Case {
        file: "24-sense-line.txt",
        arguments: &["import"],
        status: 0,
        says: &[
            "READ(10) at LBA 0x800, 8 blocks, failed: 02/04/0C target port in unavailable state",
            "1:0:1:0 dm path failed (8:80)",
        ],
        says_not: &["left out"],
    },
    Case {
        file: "25-esxcli-rr.txt",
        arguments: &["import", "--view", "nmp"],
        status: 0,
        says: &[
            "{policy=rr,iops=1000,bytes=10485760,useANO=0; lastPathIndex=5: \
             NumIOsPending=0,numBytesPending=0}",
            "action_OnRetryErrors=off",
            "Is USB: false",
        ],
        says_not: &["unknown", "Is Local SAS Device"],
    },
    Case {
        file: "25-esxcli-rr.txt",
        arguments: &["import"],
        status: 0,
        says: &["round robin, switching every 1000 I/Os, non-optimized paths not used"],
        says_not: &["unknown"],
    },
];

#[test]
fn what_people_send_is_imported() {
    check(IMPORTS);
}

#[test]
fn pages_are_decoded_however_they_are_printed() {
    check(PAGES);
}

#[test]
fn configurations_are_judged_as_multipath_tools_would_judge_them() {
    check(CONFIGURATIONS);
}

#[allow(clippy::unwrap_used, reason = "of tests: what fails is one of them")]
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
