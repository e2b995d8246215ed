use super::*;

fn settings() -> Settings {
    Settings::development(
        Address::repeat_byte(1),
        Address::repeat_byte(2),
        AWS_ROOT_ID,
    )
}

#[test]
fn a_file_says_what_the_settings_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, settings().to_toml().unwrap()).unwrap();
    assert_eq!(Settings::read(&path).unwrap(), settings());
}

#[test]
fn a_field_too_few_or_too_many_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    let whole = settings().to_toml().unwrap();
    let without = whole
        .lines()
        .filter(|line| !line.starts_with("min_stake"))
        .collect::<Vec<_>>()
        .join("\n");
    let with = whole.replace("[relay]", "[relay]\nmaximum_stake = \"1\"");
    let negative = whole.replace("min_stake = \"1", "min_stake = \"-1");
    for text in [
        without.as_str(),
        with.as_str(),
        negative.as_str(),
        "",
        "\u{0}",
    ] {
        assert_ne!(text, whole);
        std::fs::write(&path, text).unwrap();
        assert_eq!(
            Settings::read(&path).unwrap_err().code(),
            "settings-invalid"
        );
    }
}

#[test]
fn what_the_contracts_would_refuse_is_said_before() {
    type Change = fn(&mut Settings);
    let wrong: [(Change, &str); 6] = [
        (
            |s| s.registry.revoker = s.registry.approver,
            "approver and revoker",
        ),
        (
            |s| s.directory.guardian = s.directory.proposer,
            "proposer and guardian",
        ),
        (|s| s.staking.unbond_seconds = 86_400, "unbond_seconds"),
        (
            |s| s.relay.late_penalty = s.relay.withhold_penalty + 1,
            "late_penalty",
        ),
        (|s| s.relay.exclusive_seconds = 19, "exclusive_seconds"),
        (|s| s.staking.unbond_seconds = u64::MAX, "century"),
    ];
    for (change, words) in wrong {
        let mut settings = settings();
        change(&mut settings);
        let error = settings.check().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    settings().check().unwrap();
}
