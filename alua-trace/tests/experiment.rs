//! Experiments on traces that never were: what they find of effects that are known, and what is left of them however
//! they end.

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::PathBuf,
        process::{Child, Command, Output, Stdio},
        thread,
        time::{Duration, Instant},
    };

    use rustix::process::{Pid, Signal, kill_process};
    use serde_json::Value;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        /// With factors that are set by files.
        fn new(plan: impl Fn(String) -> String) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in [("alua", "as it was\n"), ("mtu", "1492\n")] {
                fs::write(dir.path().join(name), text).unwrap();
            }
            let place = Self { dir };
            fs::write(place.at("plan.toml"), plan(place.plan())).unwrap();
            place
        }

        fn at(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn plan(&self) -> String {
            let at = |name: &str| self.at(name).display().to_string();
            let (alua, mtu, pid) = (at("alua"), at("mtu"), at("pid"));
            format!(
                r#"
title = "Does it add up?"
blocks = 8
seed = 5
load = "echo $$ > {pid}; sleep 0.02; true"
metrics = ["iops", "p50", "p99"]
[warm_up]
round = "1s"
load = "echo $$ > {pid}; sleep 60; true"
[[factor]]
name = "ALUA"
save = "cat {alua}"
restore = "cat > {alua}"
[[factor.level]]
name = "off"
set = "echo off > {alua}"
[[factor.level]]
name = "on"
set = "echo on > {alua}"
check = "grep -q on {alua}"
[[factor]]
name = "MTU"
called = "jumbo frames"
kind = "mtu"
save = "cat {mtu}"
restore = "cat > {mtu}"
[[factor.level]]
name = "1500"
set = "echo 1500 > {mtu}"
[[factor.level]]
name = "9000"
set = "echo 9000 > {mtu}"
"#
            )
        }

        fn command(&self) -> Command {
            let own = std::env::current_exe().unwrap();
            // target/debug/deps/experiment-…: examples are built beside.
            let examples = own.parent().unwrap().parent().unwrap().join("examples");
            let mut command = Command::new(examples.join("experiment_on_scenes"));
            command
                .arg("make")
                .arg(self.at("plan.toml"))
                .arg(self.at("made"));
            command
                .arg(self.at("out.json"))
                .env("STATE", self.dir.path());
            command
        }

        fn make(&self) -> Output {
            self.command().output().unwrap()
        }

        fn begin(&self) -> Child {
            let mut command = self.command();
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        }

        fn only(&self, wish: &str) -> String {
            let output = self.command().env("WISH", wish).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
            stdout(&output)
        }

        fn results(&self) -> Value {
            serde_json::from_str(&fs::read_to_string(self.at("out.json")).unwrap()).unwrap()
        }

        fn journal(&self) -> Vec<Value> {
            let text = fs::read_to_string(self.at("made/journal.jsonl")).unwrap_or_default();
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            lines.collect()
        }

        fn is_as_it_was(&self) -> bool {
            let is = |name: &str, text: &str| fs::read_to_string(self.at(name)).unwrap() == text;
            is("alua", "as it was\n") && is("mtu", "1492\n") && !self.load_runs()
        }

        fn load_runs(&self) -> bool {
            let pid = fs::read_to_string(self.at("pid")).unwrap_or_default();
            let words = fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
            // Another process may have its number by now.
            String::from_utf8_lossy(&words).contains(&*self.at("pid").to_string_lossy())
        }

        /// For a message.
        fn state(&self) -> String {
            let read = |name: &str| fs::read_to_string(self.at(name)).unwrap_or_default();
            let (alua, mtu, runs) = (read("alua"), read("mtu"), self.load_runs());
            format!("{alua:?} {mtu:?} load {runs} {:?}", self.journal().last())
        }

        /// Until nobody has the directory any more.
        fn wait_for_guard(&self) {
            let Ok(lock) = fs::File::open(self.at("made/lock")) else {
                return;
            };
            lock.lock().unwrap();
        }
    }

    fn stdout(output: &Output) -> String {
        let error = String::from_utf8_lossy(&output.stderr);
        format!("{}{error}", String::from_utf8_lossy(&output.stdout))
    }

    fn steps<'a>(journal: &'a [Value], step: &str) -> Vec<&'a Value> {
        journal.iter().filter(|it| it["step"] == step).collect()
    }

    fn cells(steps: &[&Value]) -> Vec<(u64, u64)> {
        let cell = |it: &&Value| (it["block"].as_u64().unwrap(), it["cell"].as_u64().unwrap());
        steps.iter().map(cell).collect()
    }

    #[test]
    fn planted_effects_are_found_with_their_interaction() {
        let place = Place::new(|plan| plan);
        let output = place.make();
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(place.is_as_it_was());
        let results = place.results();
        assert_eq!(
            (&results["blocks"], &results["planned"]),
            (&8.into(), &8.into())
        );
        let p50 = &results["metrics"][1];
        assert_eq!(p50["metric"], "p50_ns");
        let ln = |percent: f64| (1.0 + percent / 100.0_f64).ln();
        let jumbo = [ln(40.0) - ln(50.0), ln(9.0) - ln(10.0)];
        let alua = [ln(10.0) - ln(50.0), ln(9.0) - ln(40.0)];
        let truths = [
            ((alua[0] + alua[1]) / 2.0, "lower"),
            ((jumbo[0] + jumbo[1]) / 2.0, "lower"),
            (jumbo[1] - jumbo[0], "higher"),
        ];
        for (nth, (truth, verdict)) in truths.into_iter().enumerate() {
            let found = &p50["effects"][nth];
            let end = |name: &str| found["change"][name].as_f64().unwrap();
            let truth = truth.exp_m1();
            assert!(
                end("low") - 0.004 <= truth && truth <= end("high") + 0.004,
                "{truth}: {found}"
            );
            assert!(end("high") - end("low") < 0.03, "{found}");
            assert_eq!(found["verdict"], verdict, "{found}");
        }
        // The rate is the same everywhere, whatever chance makes of it.
        let at_most = results["metrics"][0]["effects"][0]["at_most"].as_f64();
        assert!(at_most.is_some_and(|it| it < 0.02), "{said}");
        assert!(
            said.contains("Jumbo frames (MTU 9000 instead of 1500): p50 -7.0 %"),
            "{said}"
        );
        assert!(said.contains("they do not add up: +"), "{said}");
        assert_eq!(results["conditions"][0]["condition"], "frames");
        let frames = results["conditions"][0]["of_cells"].as_array().unwrap();
        assert!(
            (frames[0].as_f64().unwrap() - 45.0).abs() < 1.0,
            "{frames:?}"
        );
        assert!(
            (frames[1].as_f64().unwrap() - 8.0).abs() < 1.0,
            "{frames:?}"
        );
        told_again(&place);
        let page = fs::read_to_string(place.at("made/report.html")).unwrap();
        assert_eq!(
            page.matches("<svg").count(),
            9,
            "three figures of three metrics"
        );
    }

    /// What was done is told again, and how many blocks a smaller effect takes.
    fn told_again(place: &Place) {
        let said = place.only("power");
        assert!(
            said.contains(
                "An effect of 2.0 % is found in four of five experiments, by what 8 blocks vary"
            ),
            "{said}"
        );
        let blocks = |metric: &str| -> usize {
            let line = said
                .lines()
                .find(|it| it.trim().starts_with(metric))
                .unwrap();
            line.split_whitespace()
                .find_map(|it| it.parse().ok())
                .unwrap()
        };
        // An interaction of p99 varies more than one of IOPS.
        assert!(
            blocks("p99") > blocks("IOPS") && blocks("IOPS") >= 7,
            "{said}"
        );
        let said = place.only("dry-run");
        assert!(
            said.contains("8 blocks of 4 cells, order by seed 5"),
            "{said}"
        );
        assert_eq!(said.matches(" done").count(), 32, "{said}");
    }

    /// Whatever ends it, it goes on where it stopped, with the same schedule, no cell twice and none missing; and
    /// whenever nobody is at it, everything is as it was.
    #[test]
    fn interrupted_at_random_it_goes_on() {
        let place = Place::new(|plan| plan.replace("blocks = 8", "blocks = 3"));
        let mut random = fastrand::Rng::with_seed(3);
        let signals = [
            Signal::KILL,
            Signal::INT,
            Signal::TERM,
            Signal::KILL,
            Signal::HUP,
        ];
        for nth in 0..10 {
            let mut child = place.begin();
            thread::sleep(Duration::from_millis(random.u64(5..1200)));
            end(&mut child, signals[nth % signals.len()]);
            place.wait_for_guard();
            assert!(place.is_as_it_was(), "{nth}: {}", place.state());
        }
        let output = place.make();
        let said = stdout(&output);
        // Three blocks are too few for a verdict.
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("No verdict: 3 whole blocks are too few"),
            "{said}"
        );
        assert!(place.is_as_it_was());
        let journal = place.journal();
        assert_eq!(steps(&journal, "begun").len(), 1, "one schedule");
        let done = cells(&steps(&journal, "done"));
        let once: BTreeSet<_> = done.iter().copied().collect();
        assert_eq!((done.len(), once.len()), (12, 12), "{done:?}");
        // In the order that was drawn.
        let schedule = journal[0]["schedule"].as_array().unwrap();
        let drawn: Vec<(u64, u64)> = (0..)
            .zip(schedule)
            .flat_map(|(block, cells)| {
                let cells = cells.as_array().unwrap().iter();
                cells.map(move |cell| (block, cell.as_u64().unwrap()))
            })
            .collect();
        assert_eq!(done, drawn);
        // Once more there is nothing to do but to tell it.
        let begun = Instant::now();
        assert_eq!(place.make().status.code(), Some(2));
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(place.journal().len(), journal.len());
    }

    /// A load outlives who started it, but not the guard.
    #[test]
    fn a_load_whose_experiment_was_killed_is_ended() {
        let place = Place::new(|plan| plan.replace("sleep 0.02", "sleep 60"));
        let mut child = place.begin();
        // One that is not about to end: a warm-up takes no second here.
        let load = || fs::read_to_string(place.at("pid")).ok();
        let mut before = None;
        while load() != before || !place.load_runs() {
            before = load();
            thread::sleep(Duration::from_secs(3));
        }
        end(&mut child, Signal::KILL);
        place.wait_for_guard();
        assert!(place.is_as_it_was(), "{}", place.state());
    }

    fn end(child: &mut Child, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, signal);
        child.wait().unwrap();
    }

    /// What goes wrong is said, leaves nothing switched, and can be gone on from when it is mended.
    #[test]
    fn what_goes_wrong_is_said_and_nothing_stays_switched() {
        let missing = |plan: String| plan.replace("echo on > ", "exec no-such-program ");
        let dies = |plan: String| plan.replace("sleep 0.02", "echo out of paper >&2; exit 7");
        let warm_up_dies = |plan: String| plan.replace("sleep 60", "exit 7");
        let slow = |plan: String| {
            plan.replace("sleep 0.02", "sleep 60")
                .replace("seed = 5", "at_most = \"300ms\"")
        };
        let unset = |plan: String| plan.replace("grep -q on", "grep -q off");
        let unknown = |plan: String| {
            plan.replace("grep -q on", "true #")
                .replace("save = \"cat", "save = \"cat /no/such/")
        };
        for (change, expected) in [
            (
                &missing as &dyn Fn(String) -> String,
                "cannot set ALUA to on: ",
            ),
            (&dies, "ended with status 7: out of paper"),
            (&warm_up_dies, "ended with status 7"),
            (&slow, "took longer than"),
            (&unset, "ALUA is not on: "),
            (
                &unknown,
                "cannot find out how ALUA is set; nothing has been switched",
            ),
        ] {
            let place = Place::new(change);
            if expected == "ended with status 7" {
                // It would be steady before it ends.
                fs::write(place.at("load"), "none").unwrap();
            }
            let output = place.make();
            let said = stdout(&output);
            assert_eq!(output.status.code(), Some(2), "{expected}: {said}");
            assert!(said.contains(expected), "{expected}: {said}");
            place.wait_for_guard();
            assert!(place.is_as_it_was(), "{expected}: {said}");
        }
    }

    #[test]
    fn a_load_that_is_not_steady_or_sends_nothing_is_no_result() {
        for (load, expected) in [
            ("unsteady", "not steady in 6 rounds; the last 5: IOPS range"),
            ("none", "not steady in 6 rounds; the last 5: IOPS range"),
        ] {
            let place =
                Place::new(|plan| plan.replace("round = \"1s\"", "round = \"1s\"\nrounds = 5"));
            fs::write(place.at("load"), load).unwrap();
            let said = stdout(&place.make());
            assert!(said.contains(expected), "{load}: {said}");
            assert!(place.is_as_it_was());
            let journal = place.journal();
            assert!(steps(&journal, "done").is_empty());
            // Each of two cells was tried twice.
            assert_eq!(steps(&journal, "failed").len(), 4, "{said}");
        }
    }

    #[test]
    fn an_mtu_that_changes_no_frame_is_refused() {
        let place = Place::new(|plan| plan);
        fs::write(place.at("offload"), "on").unwrap();
        let output = place.make();
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("MTU shows nothing: 4") && said.contains("ethtool -K"),
            "{said}"
        );
        assert!(place.is_as_it_was());
    }

    #[test]
    fn a_factor_that_cannot_be_set_back_is_told_until_it_is() {
        let place = Place::new(|plan| {
            plan.replace("blocks = 8", "blocks = 2").replace(
                "restore = \"cat > ",
                "restore = \"test ! -e $STATE/broken && cat > ",
            )
        });
        fs::write(place.at("broken"), "").unwrap();
        let output = place.make();
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("NOT EVERYTHING IS AS IT WAS: MTU is not as it was: "),
            "{said}"
        );
        // All of it is done, but it is said again.
        let said = stdout(&place.make());
        assert!(said.contains("NOT EVERYTHING IS AS IT WAS"), "{said}");
        assert!(!place.is_as_it_was());
        fs::remove_file(place.at("broken")).unwrap();
        let output = place.make();
        assert!(place.is_as_it_was(), "{}", stdout(&output));
    }

    #[test]
    fn another_plan_needs_another_directory() {
        let place = Place::new(|plan| plan.replace("blocks = 8", "blocks = 2"));
        assert_eq!(place.make().status.code(), Some(2));
        let plan = fs::read_to_string(place.at("plan.toml")).unwrap();
        fs::write(place.at("plan.toml"), plan.replace("seed = 5", "seed = 6")).unwrap();
        let said = stdout(&place.make());
        assert!(said.contains("name another directory with --dir"), "{said}");
        fs::write(place.at("plan.toml"), plan.replace("seed = 5", "sead = 5")).unwrap();
        let said = stdout(&place.make());
        assert!(
            said.contains("unknown field `sead`") && said.contains("line 4, column 1"),
            "{said}"
        );
    }

    /// No file grows beyond so many blocks of 512 bytes: first a recording is too large, then the journal itself.
    #[test]
    fn a_full_disk_is_said_and_can_be_gone_on_from() {
        for (blocks, expected) in [
            (32, "two blocks in a row have no result"),
            (5, "cannot write"),
        ] {
            let place = Place::new(|plan| plan.replace("blocks = 8", "blocks = 2"));
            let made = place.command();
            let mut limited = Command::new("sh");
            let line = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
            limited
                .args(["-c", &line, "sh"])
                .arg(made.get_program())
                .args(made.get_args());
            let output = limited.env("STATE", place.dir.path()).output().unwrap();
            let said = stdout(&output);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(expected), "{blocks}: {said}");
            place.wait_for_guard();
            assert!(place.is_as_it_was(), "{said}");
            let said = stdout(&place.make());
            assert!(said.contains("2 whole blocks are too few"), "{said}");
            assert!(place.is_as_it_was());
        }
    }

    #[test]
    fn a_host_that_cannot_be_traced_is_known_before_anything_is_switched() {
        let place = Place::new(|plan| plan);
        fs::write(place.at("untraceable"), "").unwrap();
        let output = place.make();
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("cannot trace this host; nothing has been switched: "),
            "{said}"
        );
        assert!(said.contains("tracing needs root"), "{said}");
        assert!(steps(&place.journal(), "switched").is_empty());
        assert!(place.is_as_it_was());
    }

    #[test]
    fn nobody_else_makes_it_at_the_same_time() {
        let place = Place::new(|plan| plan.replace("blocks = 8", "blocks = 2"));
        let other = place.command().stdout(Stdio::null()).spawn();
        let output = place.make();
        other.unwrap().wait().unwrap();
        let done = cells(&steps(&place.journal(), "done"));
        assert_eq!(done.len(), 8, "{}", stdout(&output));
        assert!(place.is_as_it_was());
    }
}
