//! Processors: what Debian, Rust and QEMU call them. The lab's guests may have another one than this machine.

use std::fmt;
use std::path::{Path, PathBuf};

/// A processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arch {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Arch {
    /// That of this machine.
    pub(crate) const HOST: Self = if cfg!(target_arch = "aarch64") {
        Self::Arm64
    } else {
        Self::Amd64
    };

    /// Whether it is this machine's.
    pub(crate) fn is_host(self) -> bool {
        self == Self::HOST
    }

    /// Debian's name.
    pub(crate) const fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// What Rust, the kernel and QEMU call it.
    pub(crate) const fn rust(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// Where a tree of Debian's has its libraries.
    pub(crate) fn libraries(self, root: &Path) -> PathBuf {
        root.join(format!("usr/lib/{}-linux-gnu", self.rust()))
    }

    /// Where a tree of Debian's has the loader of programs.
    pub(crate) fn loader(self, root: &Path) -> PathBuf {
        root.join(match self {
            Self::Amd64 => "usr/lib64/ld-linux-x86-64.so.2",
            Self::Arm64 => "usr/lib/ld-linux-aarch64.so.1",
        })
    }

    /// The target of programs for guests that are not this machine's kind: static, so that nothing but Rust's own
    /// library is needed to link them.
    pub(crate) const fn musl(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// The target of programs for this machine.
    pub(crate) const fn gnu(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Debian's package of the QEMU that has it.
    pub(crate) const fn qemu_package(self) -> &'static str {
        match self {
            Self::Amd64 => "qemu-system-x86",
            Self::Arm64 => "qemu-system-arm",
        }
    }

    /// QEMU's arguments for a machine with it that is translated.
    pub(crate) const fn machine(self) -> &'static [&'static str] {
        match self {
            Self::Amd64 => &["-cpu", "max"],
            // Signing pointers as processors do takes the translator most of its time.
            Self::Arm64 => &["-machine", "virt", "-cpu", "max,pauth-impdef=on"],
        }
    }

    /// The same for one that this machine's processor runs.
    pub(crate) const fn native_machine(self) -> &'static [&'static str] {
        match self {
            Self::Amd64 => &["-cpu", "host"],
            Self::Arm64 => &["-machine", "virt,gic-version=max", "-cpu", "host"],
        }
    }

    /// What the kernel is told of its console.
    pub(crate) const fn console(self) -> &'static str {
        match self {
            Self::Amd64 => "console=ttyS0,115200",
            Self::Arm64 => "console=ttyAMA0,115200",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.debian())
    }
}
