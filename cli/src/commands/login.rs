//! `nacre login`: keep a control plane's address and key, and what to trust there.

use std::io::Read as _;
use std::path::Path;

use serde::Serialize;

use crate::api::Api;
use crate::args::LoginArgs;
use crate::commands::Context;
use crate::error::CliError;
use crate::profile::Profile;
use crate::trust::read_bounded;

#[derive(Serialize)]
struct LoggedIn {
    profile: String,
    url: String,
    functions: usize,
}

/// Checks the key at the control plane, then keeps it.
pub(crate) async fn run(context: &Context, args: LoginArgs) -> Result<(), CliError> {
    let url = url::Url::parse(&args.url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| CliError::Usage(format!("{:?} is not an http(s) URL", args.url)))?;
    if url.scheme() == "http" && !is_loopback(&url) {
        let message = "the API key would travel in the clear: use https";
        return Err(CliError::Usage(message.to_owned()));
    }
    let trust = &args.trust;
    let gives_measurements = trust.policy.is_some() || trust.pcr0.is_some();
    let policy = if gives_measurements {
        let resolved = trust.resolve(&context.home, None)?;
        Some(serde_json::from_str(&resolved.policy().to_json()).map_err(anyhow::Error::from)?)
    } else {
        None
    };
    let root = match &trust.root {
        Some(_) => Some(hex::encode(trust.roots(&context.home, None)?.der())),
        None => None,
    };
    let profile = Profile {
        url: url.to_string().trim_end_matches('/').to_owned(),
        key: read_key(args.key_file.as_deref())?,
        root,
        policy,
    };
    let functions = Api::new(&profile)?.functions().await?;

    let name = context
        .profile
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    context.home.save_profile(&name, &profile)?;
    let done = LoggedIn {
        profile: name,
        url: profile.url,
        functions: functions.len(),
    };
    context.output.result(&done, |done| {
        format!("logged in to {} as profile {:?}", done.url, done.profile)
    })
}

/// The key comes from a file or standard input, never from the command line, where other users could read it.
fn read_key(file: Option<&Path>) -> Result<String, CliError> {
    let bytes = match file {
        Some(file) if file != Path::new("-") => read_bounded(file, 4096)?,
        _ => {
            let mut bytes = Vec::new();
            std::io::stdin().take(4096).read_to_end(&mut bytes)?;
            bytes
        }
    };
    let text = String::from_utf8(bytes).unwrap_or_default();
    let key = text.trim();
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
    if plain {
        Ok(key.to_owned())
    } else {
        Err(CliError::Usage(
            "give the API key on standard input or with --key-file".to_owned(),
        ))
    }
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}
