//! Programs under test that break the protocol, block, or will not go away.

use std::io::Read as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nacre_tests::processes;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::run::{Part, Report, answer_all, conformance, conformance_as, program, start};

/// How long a process may take to go once it must.
const GONE: Duration = Duration::from_secs(20);

#[test]
fn a_program_that_breaks_the_protocol_ends_the_run_with_a_code_of_its_own() -> anyhow::Result<()> {
    // Before it goes wrong, it answers once as demanded.
    let one = "answer(id=json.loads(sys.stdin.readline())['id'], accepted=False)";
    for (script, code) in [
        ("sys.exit(3)", "program-exited"),
        ("os.close(1); signal.pause()", "program-exited"),
        ("say('Hello!')", "answer-malformed"),
        ("os.write(1, b'\\xff\\n')", "answer-malformed"),
        ("say(json.dumps([1, 10]))", "answer-malformed"),
        ("answer(id=1)", "answer-malformed"),
        ("answer(id=1, code=10, accepted=True)", "answer-malformed"),
        ("answer(id=1, accepted=None)", "answer-malformed"),
        ("answer(id=1, code=0.5)", "answer-malformed"),
        ("answer(id=-1, code=10)", "answer-malformed"),
        ("answer(accepted=True)", "answer-out-of-order"),
        ("answer(id=2, accepted=True)", "answer-out-of-order"),
        ("answer(id=0, accepted=True)", "answer-out-of-order"),
        ("while True: os.write(1, b'x' * 4096)", "answer-too-long"),
    ] {
        assert_ends(&[], &format!("{one}\n{script}"), code, 1)?;
    }
    assert_ends(&[], "sys.exit(3)", "program-exited", 0)
}

#[test]
fn a_program_that_keeps_silent_is_given_up_whether_it_reads_or_not() -> anyhow::Result<()> {
    let half_an_answer = "os.write(1, b'{\"id\": 0, ')";
    for silent in ["", "for line in sys.stdin: pass", half_an_answer] {
        let script = format!("{silent}\nsignal.pause()");
        assert_ends(&["--timeout", "2"], &script, "answer-late", 0)?;
    }
    Ok(())
}

#[test]
fn a_program_that_goes_on_answering_does_not_conform() -> anyhow::Result<()> {
    let script = format!(
        "{}\nanswer(id=0, accepted=True)",
        answer_all("'accepted': True")
    );
    let valid = Part::valid()?;
    let report = Report::of(&valid.chosen(), &program(&script))?;
    assert_eq!(report.exit, 1);
    assert_eq!(report.json["total"]["agree"], report.json["total"]["cases"]);
    assert_eq!(report.json["ended"]["code"], "answer-unasked");
    assert_eq!(report.json["total"]["unanswered"], 0);
    Ok(())
}

#[test]
fn standard_error_is_shown_bounded_and_never_blocks_the_program() -> anyhow::Result<()> {
    let flood = "os.write(2, b'noise\\x1b[2J ' * 400_000)\nos.write(2, b'\\nlast words\\n')\n";
    let accepting = format!("{flood}{}", answer_all("'accepted': True"));
    let valid = Part::valid()?;
    let report = Report::of(&valid.chosen(), &program(&accepting))?;
    assert_eq!(report.exit, 0, "{}", report.json);

    let report = Report::of(&[], &program(&format!("{flood}sys.exit(3)")))?;
    let stderr = report.json["stderr"].as_str().unwrap();
    assert!(stderr.ends_with("\nlast words\n"));
    assert!(stderr.len() <= 16 << 10, "{} bytes", stderr.len());

    let output = conformance(&[], &program(&format!("{flood}sys.exit(3)"))).output()?;
    let text = String::from_utf8(output.stdout)?;
    assert!(text.contains("last words") && !text.contains('\u{1b}'));
    assert!(text.contains("ended early (program-exited)"), "{text}");
    Ok(())
}

#[test]
fn nothing_that_the_program_started_outlives_the_run() -> anyhow::Result<()> {
    let desk = TempDir::new()?;
    let (listener, path) = listen(desk.path())?;
    // The grandchild inherits the connection and all pipes.
    let script = format!(
        "{}\nif os.fork() == 0: signal.pause()\n{}",
        connect(&path),
        answer_all("'accepted': True")
    );
    let valid = Part::valid()?;
    let mut run = start(conformance(&valid.chosen(), &program(&script)))?;
    let (mut connection, _) = listener.accept()?;
    assert_eq!(run.wait()?.code(), Some(0));
    assert_closed(&mut connection)
}

#[test]
fn ctrl_c_ends_the_program_and_prints_what_was_found_so_far() -> anyhow::Result<()> {
    for signal in [Signal::INT, Signal::TERM] {
        let desk = TempDir::new()?;
        let (listener, path) = listen(desk.path())?;
        let script = format!("{}\nsignal.pause()", connect(&path));
        let arguments = ["--timeout", "3600"];
        let run = start(conformance_as(&["--json"], &arguments, &program(&script)))?;
        let (mut connection, _) = listener.accept()?;
        processes::signal(run.id(), signal)?;
        let report = Report::read(&run.wait_with_output()?)?;
        assert_eq!(report.exit, 1);
        assert_eq!(report.json["ended"]["code"], "interrupted");
        assert_closed(&mut connection)?;
    }
    Ok(())
}

/// A run over cases that must be refused ends with this code, after so many answers that are as demanded.
fn assert_ends(arguments: &[&str], script: &str, code: &str, answers: u64) -> anyhow::Result<()> {
    let refused = Part::refused()?;
    let arguments = [&refused.chosen(), arguments].concat();
    let report = Report::of(&arguments, &program(script))?;
    let (json, ended) = (&report.json, &report.json["ended"]);
    assert_eq!(report.exit, 1, "{script}");
    assert_eq!(ended["code"], code, "{script}: {json}");
    let total = &json["total"];
    assert_eq!(total["agree"], answers, "{script}: {json}");
    let unanswered = total["cases"].as_u64().unwrap() - answers;
    assert_eq!(total["unanswered"], unanswered, "{script}: {json}");
    assert!(ended["first_unanswered"].is_string(), "{script}: {json}");
    Ok(())
}

/// A line of such a program: holds a connection for as long as the program, or anything it starts, lives.
fn connect(path: &str) -> String {
    format!(
        "alive = socket.socket(socket.AF_UNIX); alive.connect({path:?}); alive.set_inheritable(True)"
    )
}

fn listen(desk: &Path) -> anyhow::Result<(UnixListener, String)> {
    let path = desk.join("alive");
    let listener = UnixListener::bind(&path)?;
    Ok((listener, path.to_str().context("path")?.to_owned()))
}

fn assert_closed(connection: &mut UnixStream) -> anyhow::Result<()> {
    connection.set_read_timeout(Some(GONE))?;
    ensure!(connection.read(&mut [0])? == 0, "it said something");
    Ok(())
}
