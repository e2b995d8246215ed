//! `nacre key`, `nacre audit`: who may do what, and who did.
//!
//! Keys are made through the control plane by whoever has one with the scope `admin`, and at its database by whoever reaches
//! that: so the first key of an organisation comes about.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand};
use nacre_control_plane::Database;
use nacre_control_plane::keys::{self, ApiKey, KeyOrder, NewKey, Scope};
use nacre_protocol::api::audit::AuditEntry;
use nacre_protocol::api::keys::{CreateKey, RotateKey};
use nacre_protocol::ids::OrganisationName;
use serde::Serialize;

use crate::api::Api;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::table;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make an API key and print it, once.
    Create(CreateArgs),
    /// List API keys.
    List {
        #[command(flatten)]
        at: DatabaseArgs,
    },
    /// Give a key a new secret and print it, once; the present one is taken for a time too.
    Rotate {
        /// The 16 hex digits after `nacre_`.
        id: String,
        /// For how long the present secret is taken, hours.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=720))]
        grace_hours: u32,
        #[command(flatten)]
        at: DatabaseArgs,
    },
    /// Refuse a key from now on.
    Revoke {
        /// The 16 hex digits after `nacre_`.
        id: String,
        #[command(flatten)]
        at: DatabaseArgs,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CreateArgs {
    /// What the key is for.
    #[arg(long)]
    name: String,
    /// What it may be used for: functions:read, functions:write, jobs, nodes, billing, admin. Or gateway, alone and at the
    /// database: the routes of all organisations' functions and nothing else, for a gateway of the platform.
    #[arg(
        long = "scope",
        value_name = "SCOPE,…",
        value_delimiter = ',',
        required_unless_present = "all_scopes"
    )]
    scopes: Vec<Scope>,
    /// Everything that an organisation's key may do.
    #[arg(long, conflicts_with = "scopes")]
    all_scopes: bool,
    /// After how many days it ends [default: never, or with the key that makes it].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: Option<u32>,
    /// At the database: whose it is; made if there is none of this name [default: default].
    #[arg(long)]
    organisation: Option<OrganisationName>,
    #[command(flatten)]
    at: DatabaseArgs,
}

/// The database to work at; without one, the control plane that this machine is logged in to.
#[derive(Clone, ClapArgs)]
pub(crate) struct DatabaseArgs {
    /// Work at the SQLite database in this data folder, whether its control plane runs or not.
    #[arg(long, value_name = "DIR", conflicts_with = "database")]
    data: Option<PathBuf>,
    /// Work at this PostgreSQL database. The password may also be in PGPASSWORD or ~/.pgpass, where no list of processes
    /// shows it.
    #[arg(long, value_name = "postgres://…")]
    database: Option<String>,
}

/// Without the URL, which may hold a password.
impl core::fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DatabaseArgs")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

impl DatabaseArgs {
    fn database(&self) -> Result<Option<Database>, CliError> {
        match (&self.database, &self.data) {
            (Some(url), _) => {
                let database = Database::postgres(url).map_err(|e| CliError::Usage(e.to_string()));
                Ok(Some(database?))
            }
            (None, data) => Ok(data.clone().map(Database::Folder)),
        }
    }
}

/// A key as it is shown, once.
#[derive(Serialize)]
struct Shown {
    id: String,
    key: String,
}

impl From<NewKey> for Shown {
    fn from(made: NewKey) -> Self {
        Self {
            id: made.id.to_string(),
            key: made.key,
        }
    }
}

/// Runs one of the commands.
pub(crate) async fn run(context: &Context, command: KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::Create(args) => show(context, create(context, args).await?),
        KeyCommand::List { at } => list(context, &at).await,
        KeyCommand::Rotate {
            id,
            grace_hours,
            at,
        } => {
            let grace = Duration::from_secs(u64::from(grace_hours) * 3600);
            show(context, rotate(context, &id, grace, &at).await?)
        }
        KeyCommand::Revoke { id, at } => {
            match at.database()? {
                Some(database) => keys::revoke(&database, &id).await.context("revoke")?,
                None => api(context)?.revoke_key(&id).await?,
            }
            let done = serde_json::json!({ "revoked": id });
            context.output.result(&done, |_| format!("{id} is revoked"))
        }
    }
}

async fn create(context: &Context, args: CreateArgs) -> Result<Shown, CliError> {
    let scopes: BTreeSet<Scope> = match args.all_scopes {
        true => Scope::OF_ORGANISATIONS.into(),
        false => args.scopes.into_iter().collect(),
    };
    let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 3600);
    let lifetime = args.days.map(days);
    let database = args.at.database()?;
    if let Some(database) = &database
        && scopes == [Scope::Gateway].into()
        && args.organisation.is_none()
    {
        let made = keys::create_for_gateway(database, &args.name, lifetime).await;
        return Ok(made.context("create")?.into());
    }
    if let Some(database) = database {
        let order = KeyOrder {
            name: args.name,
            organisation: args.organisation.unwrap_or_default(),
            scopes,
            lifetime,
        };
        let made = keys::create_with(&database, &order).await;
        return Ok(made.context("create")?.into());
    }
    if args.organisation.is_some() {
        let why = "a control plane makes keys of the organisation of the key that asks: --organisation goes with --data or --database";
        return Err(CliError::Usage(why.to_owned()));
    }
    let order = CreateKey {
        name: args.name,
        scopes,
        expires_ms: lifetime.map(|lifetime| now_ms() + millis(lifetime)),
    };
    let made = api(context)?.create_key(&order).await?;
    Ok(Shown {
        id: made.about.id,
        key: made.key,
    })
}

async fn rotate(
    context: &Context,
    id: &str,
    grace: Duration,
    at: &DatabaseArgs,
) -> Result<Shown, CliError> {
    if let Some(database) = at.database()? {
        let made = keys::rotate(&database, id, grace).await;
        return Ok(made.context("rotate")?.into());
    }
    let order = RotateKey {
        grace_ms: Some(millis(grace)),
    };
    let made = api(context)?.rotate_key(id, &order).await?;
    Ok(Shown {
        id: made.about.id,
        key: made.key,
    })
}

async fn list(context: &Context, at: &DatabaseArgs) -> Result<(), CliError> {
    let keys = match at.database()? {
        Some(database) => keys::list(&database).await.context("list")?,
        None => api(context)?.keys().await?,
    };
    context.output.result(&keys, |keys| {
        let head = ["ID", "ORGANISATION", "CREATED", "ENDS", "SCOPES", "NAME"];
        table(&head, &keys.iter().map(key_row).collect::<Vec<_>>())
    })
}

/// Prints what keys did, the latest first.
pub(crate) async fn audit(
    context: &Context,
    limit: u32,
    at: &DatabaseArgs,
) -> Result<(), CliError> {
    let entries = match at.database()? {
        Some(database) => keys::platform_log(&database, limit)
            .await
            .context("audit")?,
        None => api(context)?.audit(limit).await?,
    };
    context.output.result(&entries, |entries| {
        let head = ["WHEN", "KEY", "ADDRESS", "ACTION", "STATUS", "PATH"];
        table(&head, &entries.iter().map(entry_row).collect::<Vec<_>>())
    })
}

fn show(context: &Context, shown: Shown) -> Result<(), CliError> {
    context.output.result(&shown, |shown| shown.key.clone())
}

fn key_row(key: &ApiKey) -> Vec<String> {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let ends = match (key.revoked_ms, key.expires_ms) {
        (Some(at), _) => format!("revoked {}", time(at)),
        (None, Some(at)) => time(at),
        (None, None) => "-".to_owned(),
    };
    vec![
        key.id.clone(),
        key.organisation
            .as_ref()
            .map_or_else(|| "-".to_owned(), ToString::to_string),
        time(key.created_ms),
        ends,
        scopes.join(","),
        key.name.clone(),
    ]
}

fn entry_row(entry: &AuditEntry) -> Vec<String> {
    let code = entry.code.as_ref().map(|code| format!(" {code}"));
    vec![
        time(entry.at_ms),
        entry.key.clone(),
        entry.address.clone(),
        entry.action.clone(),
        format!("{}{}", entry.status, code.unwrap_or_default()),
        format!("{} {}", entry.method, entry.path),
    ]
}

fn time(ms: u64) -> String {
    let at = i64::try_from(ms / 1000).ok();
    let at = at.and_then(|s| jiff::Timestamp::from_second(s).ok());
    at.map_or_else(|| ms.to_string(), |at| at.to_string())
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn api(context: &Context) -> Result<Api, CliError> {
    let (_, profile) = context.home.profile(context.profile.as_deref())?;
    Api::new(&profile)
}
