//! Outputs that people have made public, with names and numbers replaced: what the program says of each
//! is kept beside it (`.says`), as it was read line by line. With `ALUA_TRACE_KEEP=1` what it says now is
//! kept instead, to be read again.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    #[test]
    fn what_is_said_of_public_outputs_stays_as_it_was_read() {
        let mut files = Vec::new();
        for kind in entries(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public")) {
            files.extend(entries(&kind));
        }
        files.retain(|file| file.extension().is_some_and(|it| it == "txt"));
        assert!(files.len() > 150, "only {} outputs are there", files.len());
        let changed: Vec<String> = files.iter().filter_map(|file| change(file)).collect();
        assert!(changed.is_empty(), "{}", changed.join("\n"));
    }

    fn entries(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// What differs from what was kept; `None` if nothing does.
    fn change(file: &Path) -> Option<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_alua-trace"))
            .arg("import")
            .arg(file.file_name().unwrap())
            .current_dir(file.parent().unwrap())
            .output()
            .unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap()
        );
        let said = format!("{said}exit status {}\n", output.status.code().unwrap());
        let kept = file.with_extension("says");
        if std::env::var_os("ALUA_TRACE_KEEP").is_some() {
            fs::write(&kept, &said).unwrap();
        }
        let expected = fs::read_to_string(&kept).unwrap_or_default();
        (said != expected)
            .then(|| format!("{}\n--- kept\n{expected}--- now\n{said}", file.display()))
    }
}
