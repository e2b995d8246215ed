//! A control plane with a function, and nodes whose enclaves sign usage. A second of the function costs a unit.

use std::time::Duration;

use k256::ecdsa::SigningKey;
use nacre_control_plane::audit::{Report, audit};
use nacre_control_plane::{Config, Database};
use nacre_ledger::Fee;
use nacre_protocol::api::ledger::{Balance, CapPeriod, Invoice, SpendingCap};
use nacre_protocol::api::{Deployment, Version};
use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::LeaseId;
use nacre_protocol::usage::{ANONYMOUS, SignedUsage, UsageReceipt};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use sqlx::Row as _;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};

use crate::support::{Server, TestNode, expect};

/// A micro-unit for a microsecond: the function has a sixteenth of a GiB.
pub(crate) const PRICE: u64 = 16_000_000;
/// What is set aside for a lease: a second.
pub(crate) const HOLD: i64 = 1_000_000;
/// The platform's share here, hundredths of a percent.
pub(crate) const FEE: u16 = 1000;

pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) version: Version,
    pub(crate) deployment: Deployment,
}

/// A node that has a receipt key of its own.
pub(crate) struct Signer {
    pub(crate) node: TestNode,
    pub(crate) key: SigningKey,
}

pub(crate) fn rules(config: &mut Config) {
    config.ledger.hold = Duration::from_secs(1);
    config.ledger.fee = Fee::from_basis_points(FEE).unwrap();
}

/// The same, and nodes may be silent for long.
pub(crate) fn patient(config: &mut Config) {
    rules(config);
    config.offline_after = Duration::from_secs(30 * 24 * 3600);
}

impl Site {
    pub(crate) async fn start(nodes: u8) -> (Self, Vec<Signer>) {
        Self::tuned(nodes, rules).await
    }

    /// A function on as many nodes, all ready if they have it.
    pub(crate) async fn tuned(nodes: u8, tune: fn(&mut Config)) -> (Self, Vec<Signer>) {
        let mut server = Server::tuned(tune).await;
        let version = server.function("iris", "64MiB", "model").await;
        let mut signers = Vec::new();
        for n in 1..=nodes {
            let mut signer = Signer::new(n);
            server.register(&mut signer.node).await;
            signers.push(signer);
        }
        let deployment = server.deploy(&version, u32::from(nodes)).await;
        for signer in &signers {
            server.report(&signer.node, FunctionState::Ready).await;
        }
        let site = Self {
            server,
            version,
            deployment,
        };
        (site, signers)
    }

    /// The node asks this from now on, registers and has what it runs.
    pub(crate) async fn ask(&mut self, signer: &mut Signer, price: u64, cpu_price: u64) {
        (signer.node.offer.price, signer.node.offer.cpu_price) = (price, cpu_price);
        self.server.register(&mut signer.node).await;
        self.server.report(&signer.node, FunctionState::Ready).await;
    }

    /// The lease that the node has.
    pub(crate) async fn lease(&self, signer: &Signer) -> Option<LeaseId> {
        let desired = self.server.desired(&signer.node, "").await;
        desired.functions.first().map(|function| function.lease)
    }

    pub(crate) fn report(&self, signer: &Signer, receipts: &[SignedUsage]) -> RequestBuilder {
        let path = format!("/v1/nodes/{}/usage", signer.node.id);
        self.server
            .anonymous(Method::POST, &path)
            .bearer_auth(&signer.node.token)
            .json(&json!({ "receipts": receipts }))
    }

    /// Brings receipts that are taken.
    pub(crate) async fn bring(&self, signer: &Signer, receipts: &[SignedUsage]) {
        let response = self.report(signer, receipts).send().await.unwrap();
        let status = response.status();
        assert_eq!(status, 204, "{}", response.text().await.unwrap());
    }

    pub(crate) async fn balance(&self) -> Balance {
        self.server.get("/v1/ledger/balance").await
    }

    pub(crate) async fn cap(
        &self,
        function: Option<&str>,
        period: CapPeriod,
        limit: i64,
    ) -> SpendingCap {
        let cap = json!({ "function": function, "period": period, "limit": limit });
        let request = self.server.request(Method::PUT, "/v1/ledger/caps");
        expect(request.json(&cap), 200).await
    }

    /// Waits until the deployment is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Deployment) -> bool) -> Deployment {
        self.server.until(self.deployment.id, wanted).await
    }

    pub(crate) async fn audit(&self) -> Report {
        audit(&self.server.database).await.unwrap()
    }

    /// That nothing is wrong.
    pub(crate) async fn check(&self) {
        assert_eq!(self.audit().await.findings, []);
    }

    /// A number from the database itself.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let pool = self.pool().await;
        let row = sqlx::query(sql).fetch_one(&pool).await.unwrap();
        pool.close().await;
        row.get(0)
    }

    /// Does something to the database.
    pub(crate) async fn run(&self, sql: &'static str) {
        let pool = self.pool().await;
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        pool.close().await;
    }

    /// Meddles with rows of the database.
    pub(crate) async fn meddle(&self, sql: &'static str) {
        let pool = self.pool().await;
        let done = sqlx::query(sql).execute(&pool).await.unwrap();
        assert!(done.rows_affected() > 0, "{sql}");
        pool.close().await;
    }

    /// What uptime writes when a window has cost a node something.
    pub(crate) async fn slash(&self, signer: &Signer, number: i64, micros: i64) {
        let pool = self.pool().await;
        sqlx::query(
            "INSERT INTO slashes (node, number, operator, stake, window_slots, up, missing, excused,
                 unjudged, amount, settled_ms) VALUES ($1, $2, $3, 100000, 8640, 0, 8640, 0, 0, $4, 1)",
        )
        .bind(signer.node.id.to_string())
        .bind(number)
        .bind(signer.node.operator_id().to_string())
        .bind(micros)
        .execute(&pool)
        .await
        .unwrap();
        pool.close().await;
    }

    /// The invoice of the month so far.
    pub(crate) async fn invoice(&self) -> Invoice {
        self.server.get("/v1/ledger/invoices/now").await
    }

    async fn pool(&self) -> sqlx::AnyPool {
        install_default_drivers();
        let url = match &self.server.database {
            Database::Folder(folder) => format!("sqlite://{}/nacre.db", folder.display()),
            Database::Postgres(url) => url.to_string(),
        };
        let options: AnyConnectOptions = url.parse().unwrap();
        let pool = AnyPoolOptions::new().max_connections(1);
        pool.connect_with(options).await.unwrap()
    }
}

impl Signer {
    fn new(n: u8) -> Self {
        let key = SigningKey::from_slice(&[n; 32]).unwrap();
        let mut node = TestNode::new(n, 1 << 30, PRICE);
        let point = key.verifying_key().to_sec1_point(false);
        node.statement
            .receipt_key
            .copy_from_slice(&point.as_bytes()[1..]);
        Self { node, key }
    }

    /// What the enclave signs: so long in the model under this lease.
    pub(crate) fn used(&self, seq: u64, lease: Option<LeaseId>, micros: u32) -> SignedUsage {
        self.sign(UsageReceipt {
            lease,
            boot_id: self.node.boot(),
            seq,
            caller: ANONYMOUS,
            compute_micros: micros,
            bytes_in: 10,
            bytes_out: 20,
        })
    }

    pub(crate) fn sign(&self, receipt: UsageReceipt) -> SignedUsage {
        receipt.sign(&self.key)
    }

    /// The account of its operator.
    pub(crate) fn account(&self) -> String {
        format!("operator:{}", self.node.operator_id())
    }
}
