//! Owns where a configuration comes from: the files, and multipathd, which is asked for what it
//! runs with. All of it is read-only; multipathd answers from memory.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::effective::{Configuration, Place};
use super::parse::parse;
use super::section::Note;
use super::tables::Tables;
use crate::sysroot::multipath::MAX_CONFIG;
use crate::sysroot::{self, Sysroot};

/// How long multipathd may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Pause between two looks whether its program has ended.
const POLL: Duration = Duration::from_millis(5);

/// A configuration and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// What it says.
    pub configuration: Configuration,
    /// What was read, in the order of precedence, the weakest first.
    pub read: Vec<String>,
    /// What could not be read or understood.
    pub notes: Vec<Note>,
}

impl Sources {
    fn new() -> Self {
        Self {
            configuration: Configuration::new(Tables::built_in()),
            read: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The configuration of this host. What cannot be read becomes a note.
    pub fn of_host(root: &Sysroot) -> Self {
        let mut sources = Self::new();
        let file = root.multipath_conf();
        if let Err(error) = sources.add_file(&file, Place::Main) {
            sources.note(format!("cannot read {}: {error}", file.display()));
        }
        match sysroot::config_files(&root.multipath_conf_dir()) {
            Ok(files) => {
                for file in files {
                    if let Err(error) = sources.add_file(&file, Place::Additional) {
                        sources.note(format!("cannot read {}: {error}", file.display()));
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let dir = root.multipath_conf_dir();
                sources.note(format!("cannot read {}: {error}", dir.display()));
            }
        }
        sources.ask_multipathd(root);
        sources
    }

    /// The configuration in a file, or in all files of a directory.
    ///
    /// # Errors
    /// It cannot be read, or there is no file in the directory.
    pub fn of_path(path: &Path) -> Result<Self> {
        let mut sources = Self::new();
        let what = || format!("cannot read {}", path.display());
        if path.is_dir() {
            let files = sysroot::config_files(path).with_context(what)?;
            ensure!(
                !files.is_empty(),
                "{} has no file whose name ends in .conf: name a multipath configuration, or a \
                 directory like /etc/multipath/conf.d",
                path.display()
            );
            for file in files {
                let what = || format!("cannot read {}", file.display());
                sources
                    .add_file(&file, Place::Additional)
                    .with_context(what)?;
            }
        } else {
            sources.add_file(path, place(path)).with_context(what)?;
        }
        Ok(sources)
    }

    /// Configurations of another host, by the names they came under: files, and what multipathd said
    /// that it ran with.
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut sources = Self::new();
        for (name, text) in texts {
            if is_dump(text) {
                sources.configuration.running = Some(Tables::of_multipathd(text));
                sources.read.push(name.to_owned());
            } else {
                sources.add_text(name, text, place(Path::new(name)));
            }
        }
        sources
    }

    fn add_file(&mut self, path: &Path, place: Place) -> io::Result<()> {
        let text = sysroot::read_config(path)?;
        self.add_text(&path.display().to_string(), &text, place);
        Ok(())
    }

    fn add_text(&mut self, name: &str, text: &str, place: Place) {
        let notes = self.configuration.add_file(parse(name, text), place);
        self.notes.extend(notes);
        self.read.push(name.to_owned());
    }

    fn ask_multipathd(&mut self, root: &Sysroot) {
        let Some(program) = root.multipathd() else {
            return self.note("multipathd is not installed: only files are read");
        };
        match show_config(&program, ANSWER_TIME) {
            Ok(text) => {
                self.configuration.running = Some(Tables::of_multipathd(&text));
                self.read.push("multipathd show config".to_owned());
            }
            Err(error) => self.note(format!(
                "multipathd does not say what it runs with, only files are read: {error}"
            )),
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.notes.push(Note { at: None, text });
    }
}

/// How a file is read, by where it lies.
fn place(path: &Path) -> Place {
    match path.parent().and_then(Path::file_name) {
        Some(name) if name == "conf.d" => Place::Additional,
        _ => Place::Main,
    }
}

/// Whether a text is what `multipathd show config` or `multipath -t` print: all of the hardware table.
fn is_dump(text: &str) -> bool {
    /// The smallest table, that of 0.4.9, has more; nobody writes as many by hand.
    const DEVICES: usize = 40;
    let is_device = |line: &&str| line.trim_start().starts_with("device {");
    text.lines().filter(is_device).count() >= DEVICES
}

/// What `multipathd show config` prints within `time`.
fn show_config(program: &Path, time: Duration) -> Result<String, String> {
    let deadline = Instant::now() + time;
    let mut child = Command::new(program)
        .args(["show", "config"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    let answer = read_all(&mut child, time);
    let ended = ended(&mut child, deadline);
    let text = answer.map_err(|_| format!("no answer within {} s", time.as_secs()))?;
    let text = text.map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_CONFIG {
        return Err(format!("an answer longer than {MAX_CONFIG} bytes"));
    }
    // Older versions end with status 0 and words when the daemon does not run.
    if !ended || !text.contains("defaults {") {
        return Err("it does not run, or does not answer".to_owned());
    }
    Ok(text)
}

/// All the program prints, up to a limit, if that ends in time. A thread reads, because a pipe
/// cannot be waited for; it ends when the pipe does.
fn read_all(
    child: &mut Child,
    time: Duration,
) -> Result<io::Result<String>, mpsc::RecvTimeoutError> {
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map(|out| out.take(MAX_CONFIG + 1).read_to_end(&mut bytes));
        let text = read
            .transpose()
            .map(|_| String::from_utf8_lossy(&bytes).into_owned());
        // Nobody waits any more when it took too long.
        let _ = sender.send(text);
    });
    receiver.recv_timeout(time)
}

/// Whether the program ended well before `deadline`; kills it if it did not end.
fn ended(child: &mut Child, deadline: Instant) -> bool {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) | Err(_) => {
                // Both fail only when it has ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;

    use super::*;
    use crate::multipath_conf::tables::Subject;

    fn root() -> (tempfile::TempDir, Sysroot) {
        let dir = tempfile::tempdir().unwrap();
        let root = Sysroot::at(dir.path());
        (dir, root)
    }

    fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> std::path::PathBuf {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A program that another thread still writes while this one starts one cannot be started.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    fn multipathd(dir: &tempfile::TempDir, script: &str) {
        let path = file(
            dir,
            "usr/sbin/multipathd",
            &format!("#!/bin/sh\n{script}\n"),
        );
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn value(sources: &Sources, keyword: &str) -> String {
        let effective = sources.configuration.of(&Subject::default());
        let value = effective.get(keyword).unwrap();
        format!("{} from {}", value.value, value.origin)
    }

    fn notes(sources: &Sources) -> String {
        let texts = sources.notes.iter().map(|note| note.text.as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn without_anything_the_built_in_tables_count_and_it_is_said() {
        let (_dir, root) = root();
        let sources = Sources::of_host(&root);
        assert_eq!(value(&sources, "prio"), "const from built in");
        assert!(sources.read.is_empty());
        let notes = notes(&sources);
        assert!(
            notes.contains("etc/multipath.conf: No such file"),
            "{notes}"
        );
        assert!(notes.contains("multipathd is not installed"), "{notes}");
    }

    #[test]
    fn later_files_count_before_earlier_ones() {
        let (dir, root) = root();
        file(
            &dir,
            "etc/multipath.conf",
            "defaults {\nprio a\nfailback 5\n}\n",
        );
        file(
            &dir,
            "etc/multipath/conf.d/2.conf",
            "defaults {\nprio c\n}\n",
        );
        file(
            &dir,
            "etc/multipath/conf.d/1.conf",
            "defaults {\nprio b\n}\n",
        );
        let sources = Sources::of_host(&root);
        assert!(value(&sources, "prio").starts_with("c from "));
        assert!(value(&sources, "prio").ends_with("conf.d/2.conf:2"));
        assert!(value(&sources, "failback").ends_with("etc/multipath.conf:3"));
        assert_eq!(sources.read.len(), 3);
    }

    #[test]
    fn what_multipathd_says_counts() {
        let _guard = ONE_AT_A_TIME.lock().unwrap();
        let (dir, root) = root();
        multipathd(
            &dir,
            "test \"$*\" = 'show config' && printf 'defaults {\\nprio \"x\"\\n}\\n'",
        );
        let sources = Sources::of_host(&root);
        assert_eq!(value(&sources, "prio"), "x from multipathd");
        assert!(!notes(&sources).contains("multipathd"));
    }

    #[test]
    fn a_multipathd_that_does_not_answer_costs_no_more_than_its_time() {
        let _guard = ONE_AT_A_TIME.lock().unwrap();
        for (script, expected) in [
            ("exit 1", "it does not run"),
            ("echo 'defaults {'; exit 1", "it does not run"),
            ("echo error receiving packet", "it does not run"),
            ("exec sleep 60", "no answer within"),
            (
                "echo 'defaults {'; exec >&-; exec sleep 60",
                "it does not run",
            ),
            ("exec yes", "an answer longer than"),
        ] {
            let (dir, root) = root();
            multipathd(&dir, script);
            let begin = Instant::now();
            let error = show_config(&root.multipathd().unwrap(), Duration::from_secs(1));
            let error = error.unwrap_err();
            assert!(error.contains(expected), "{script}: {error}");
            assert!(begin.elapsed() < Duration::from_secs(10), "{script}");
        }
        let (dir, root) = root();
        file(&dir, "sbin/multipathd", "not executable");
        assert!(notes(&Sources::of_host(&root)).contains("cannot run"));
    }

    #[test]
    fn a_path_is_a_file_or_a_directory_of_them() {
        let (dir, _) = root();
        let one = file(&dir, "conf.d/1.conf", "defaults {\nprio a\n}");
        file(&dir, "conf.d/2.conf", "defaults {\nprio b\n}");
        let sources = Sources::of_path(&one).unwrap();
        assert!(value(&sources, "prio").starts_with("a from "));
        let sources = Sources::of_path(&dir.path().join("conf.d")).unwrap();
        assert!(value(&sources, "prio").starts_with("b from "));
        for (path, expected) in [
            ("none", "cannot read "),
            ("", "has no file whose name ends"),
        ] {
            let error = Sources::of_path(&dir.path().join(path)).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        }
    }
}
