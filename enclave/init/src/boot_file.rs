//! What init starts and how, as `/etc/nacre/boot` says.
//!
//! ```text
//! # a comment
//! program /usr/bin/nacre-enclave
//! argument nitro
//! environment KEY=VALUE
//! limit nofile 65536
//! heartbeat yes
//! ```
//!
//! `argument` and `environment` come as often as they are needed, in their order, and hold the rest of their line as it
//! stands. The file is part of the measured image and the only source of the program's arguments, environment and limits.

use rustix::process::Resource;

use crate::refusal::Refusal;

/// Where the file stands.
pub const PATH: &str = "/etc/nacre/boot";

/// Largest file in bytes.
pub const MAX_BYTES: usize = 64 << 10;
/// Most lines of one kind.
const MAX_REPEATED: usize = 256;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// Absolute path of the program.
    pub program: String,
    /// Its arguments, without its name.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Resource limits, soft and hard alike.
    pub limits: Vec<(Limit, u64)>,
    /// Whether the host is told that the enclave runs. Yes, where the file does not say.
    pub heartbeat: bool,
}

/// A resource limit that the file may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Limit {
    /// `nofile`: descriptors of a process.
    Nofile,
    /// `nproc`: processes of a user.
    Nproc,
    /// `memlock`: bytes that a process may keep from being moved.
    Memlock,
    /// `stack`: bytes of a process's first stack.
    Stack,
    /// `core`: bytes of a core dump.
    Core,
}

impl Limit {
    const ALL: [(&'static str, Self); 5] = [
        ("nofile", Self::Nofile),
        ("nproc", Self::Nproc),
        ("memlock", Self::Memlock),
        ("stack", Self::Stack),
        ("core", Self::Core),
    ];

    /// The kernel's name for it.
    pub(crate) fn resource(self) -> Resource {
        match self {
            Self::Nofile => Resource::Nofile,
            Self::Nproc => Resource::Nproc,
            Self::Memlock => Resource::Memlock,
            Self::Stack => Resource::Stack,
            Self::Core => Resource::Core,
        }
    }
}

impl BootFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// `boot-file-malformed`, with the line's number.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let malformed = |line: usize, what: &str| {
            Refusal::new("boot-file-malformed", format!("{PATH} line {line}: {what}"))
        };
        if bytes.len() > MAX_BYTES {
            return Err(malformed(0, "longer than 64 KiB"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed(0, "not UTF-8"))?;
        let mut parsed = Parsed::default();
        for (line, number) in text.split('\n').zip(1..) {
            if !line.is_empty() && !line.starts_with('#') {
                parsed.take(line).map_err(|what| malformed(number, what))?;
            }
        }
        Ok(Self {
            program: parsed
                .program
                .ok_or_else(|| malformed(0, "no program is named"))?,
            arguments: parsed.arguments,
            environment: parsed.environment,
            limits: parsed.limits,
            heartbeat: parsed.heartbeat.unwrap_or(true),
        })
    }
}

#[derive(Default)]
struct Parsed {
    program: Option<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    limits: Vec<(Limit, u64)>,
    heartbeat: Option<bool>,
}

impl Parsed {
    fn take(&mut self, line: &str) -> Result<(), &'static str> {
        let (word, rest) = line
            .split_once(' ')
            .ok_or("a word and its value are needed")?;
        if rest.chars().any(char::is_control) {
            return Err("control characters are not allowed");
        }
        match word {
            "program" => {
                let names = rest
                    .strip_prefix('/')
                    .ok_or("the program's path is not absolute")?;
                if names.split('/').any(|name| ["", ".", ".."].contains(&name)) {
                    return Err("the program's path is malformed");
                }
                once(&mut self.program, rest.to_owned())
            }
            "argument" => push(&mut self.arguments, rest.to_owned()),
            "environment" => {
                let (key, value) = rest.split_once('=').ok_or("KEY=VALUE is needed")?;
                if !is_key(key) {
                    return Err("the environment's key is malformed");
                }
                if self.environment.iter().any(|(other, _)| other == key) {
                    return Err("the environment has this key already");
                }
                push(&mut self.environment, (key.to_owned(), value.to_owned()))
            }
            "limit" => {
                let (name, value) = rest
                    .split_once(' ')
                    .ok_or("a limit and its value are needed")?;
                let (_, limit) = Limit::ALL
                    .into_iter()
                    .find(|(known, _)| *known == name)
                    .ok_or("the limit is not known")?;
                if self.limits.iter().any(|(other, _)| *other == limit) {
                    return Err("the limit was set already");
                }
                if !value.bytes().all(|digit| digit.is_ascii_digit()) {
                    return Err("the limit is not a number");
                }
                let value = value.parse().map_err(|_| "the limit is not a number")?;
                push(&mut self.limits, (limit, value))
            }
            "heartbeat" => match rest {
                "yes" => once(&mut self.heartbeat, true),
                "no" => once(&mut self.heartbeat, false),
                _ => Err("yes or no is needed"),
            },
            _ => Err("the word is not known"),
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("it was said already"),
    }
}

fn push<T>(list: &mut Vec<T>, value: T) -> Result<(), &'static str> {
    if list.len() == MAX_REPEATED {
        return Err("there are too many of these lines");
    }
    list.push(value);
    Ok(())
}

fn is_key(key: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let mut bytes = key.bytes();
    bytes.next().is_some_and(letter) && bytes.all(|byte| letter(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn says_what_to_start_and_how() {
        let text = "# started by init\n\nprogram /usr/bin/nacre-enclave\nargument nitro\nargument --name=a b\n\
                    argument \nenvironment A=b=c\nenvironment EMPTY=\nlimit nofile 65536\nlimit core 0\nheartbeat no\n";
        let boot = BootFile::parse(text.as_bytes()).unwrap();
        assert_eq!(boot.program, "/usr/bin/nacre-enclave");
        assert_eq!(boot.arguments, ["nitro", "--name=a b", ""]);
        let environment = [("A", "b=c"), ("EMPTY", "")];
        assert_eq!(
            boot.environment,
            environment.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert_eq!(boot.limits, [(Limit::Nofile, 65536), (Limit::Core, 0)]);
        assert!(!boot.heartbeat);
        assert!(BootFile::parse(b"program /a").unwrap().heartbeat);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let many = format!("program /a\n{}", "argument x\n".repeat(MAX_REPEATED + 1));
        for wrong in [
            "",
            "argument nitro\n",
            "program\n",
            "program a\n",
            "program /a/../b\n",
            "program /\n",
            "program /a\nprogram /a\n",
            "program /a\nshell yes\n",
            "program /a\n argument x\n",
            "program /a\nargument a\r\n",
            "program /a\nargument a\tb\n",
            "program /a\nargument a\0b\n",
            "program /a\nargument\n",
            "program /a\nenvironment A\n",
            "program /a\nenvironment =b\n",
            "program /a\nenvironment 1A=b\n",
            "program /a\nenvironment A=1\nenvironment A=2\n",
            "program /a\nlimit nofile\n",
            "program /a\nlimit nofile \n",
            "program /a\nlimit nofile +1\n",
            "program /a\nlimit nofile unlimited\n",
            "program /a\nlimit nofile 1\nlimit nofile 1\n",
            "program /a\nlimit cpu 1\n",
            "program /a\nheartbeat maybe\n",
            "program /a\nheartbeat yes\nheartbeat yes\n",
            &many,
        ] {
            let refused = BootFile::parse(wrong.as_bytes());
            assert!(
                refused.is_err_and(|refusal| refusal.code() == "boot-file-malformed"),
                "{wrong:?} was read"
            );
        }
        assert!(BootFile::parse(&vec![b'#'; MAX_BYTES + 1]).is_err());
        assert!(BootFile::parse(b"program /\xff\n").is_err());
    }

    proptest! {
        /// Every argument and variable arrives as it was written, and none besides.
        #[test]
        fn nothing_is_added_or_changed(
            arguments in prop::collection::vec("[ -~\u{e4}]{0,30}", 0..20),
            values in prop::collection::vec("[ -~]{0,30}", 0..20),
        ) {
            let mut text = "program /p\n".to_owned();
            for argument in &arguments {
                text += &format!("argument {argument}\n");
            }
            for (index, value) in values.iter().enumerate() {
                text += &format!("environment V{index}={value}\n");
            }
            let boot = BootFile::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(boot.arguments, arguments);
            let read: Vec<String> = boot.environment.into_iter().map(|(_, value)| value).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = BootFile::parse(&bytes);
        }

        #[test]
        fn arbitrary_lines_never_panic(text in "((program|argument|environment|limit|heartbeat) [ -~]{0,20}\n){0,8}") {
            let _ = BootFile::parse(text.as_bytes());
        }
    }
}
