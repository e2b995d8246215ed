use super::*;
use crate::settings::AWS_ROOT_ID;

fn deployment() -> Deployment {
    let [owner, second] = [1, 2].map(Address::repeat_byte);
    let mut deployment = Deployment::new(
        31_337,
        owner,
        7,
        Settings::development(owner, second, AWS_ROOT_ID),
    );
    deployment.contracts.insert(
        Name::JobRelay,
        Deployed {
            address: Address::repeat_byte(3),
            nonce: 4,
            code_hash: None,
        },
    );
    deployment
}

#[test]
fn a_file_is_read_as_it_was_written_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployment.json");
    assert!(Deployment::read(&path).unwrap().is_none());
    deployment().write(&path).unwrap();
    deployment().write(&path).unwrap();
    assert_eq!(Deployment::read(&path).unwrap(), Some(deployment()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_deployment_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployment.json");
    let whole = serde_json::to_string(&deployment()).unwrap();
    let later = whole.replace("\"version\":1", "\"version\":2");
    for text in ["", "{}", &whole[..whole.len() / 2], &later] {
        fs::write(&path, text).unwrap();
        assert_eq!(
            Deployment::read(&path).unwrap_err().code(),
            "deployment-file"
        );
    }
}

#[test]
fn one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployment.json");
    let first = Deployment::lock(&path).unwrap();
    assert_eq!(
        Deployment::lock(&path).unwrap_err().code(),
        "deployment-file"
    );
    drop(first);
    Deployment::lock(&path).unwrap();
}

#[test]
fn it_is_whole_with_its_last_step() {
    let mut deployment = deployment();
    for name in Name::ALL {
        deployment.contracts.insert(
            name,
            Deployed {
                address: Address::ZERO,
                nonce: 0,
                code_hash: Some(B256::ZERO),
            },
        );
    }
    assert!(!deployment.is_whole());
    deployment.wired = true;
    assert!(deployment.is_whole());
    deployment.contracts.remove(&Name::DevToken);
    assert!(!deployment.is_whole());
    deployment.settings.stake_token = Some(Address::repeat_byte(9));
    assert!(deployment.is_whole());
}
