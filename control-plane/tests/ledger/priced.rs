//! Two prices: for memory and for the processor that a replica computes on.

use nacre_protocol::api::{CreateDeployment, Deployment};
use nacre_protocol::control::FunctionState;
use reqwest::Method;

use crate::site::{HOLD, PRICE, Site, patient};
use crate::support::{Server, TestNode, expect, order};

/// A micro-unit for a microsecond on a processor.
const CPU_PRICE: u64 = 1_000_000;
const GIB: u64 = 1 << 30;

async fn node(server: &mut Server, n: u8, price: u64, cpu_price: u64) -> TestNode {
    let mut node = TestNode::new(n, GIB, price);
    node.offer.cpu_price = cpu_price;
    server.register(&mut node).await;
    node
}

async fn deploy(server: &Server, order: &CreateDeployment) -> Deployment {
    let request = server.request(Method::POST, "/v1/deployments").json(order);
    expect(request, 201).await
}

#[tokio::test]
async fn what_a_second_costs_with_its_processor_decides_who_wins() {
    let mut server = Server::start().await;
    // A sixteenth of a GiB and a processor: 1 + 5, 2 + 3 and 3 + 3 units a second.
    let first = node(&mut server, 1, 16_000_000, 5_000_000).await;
    let second = node(&mut server, 2, 32_000_000, 3_000_000).await;
    node(&mut server, 3, 48_000_000, 3_000_000).await;
    let version = server.function("iris", "64MiB", "model").await;
    let won = deploy(&server, &order(&version, 1)).await;
    let lease = &won.leases[0];
    assert_eq!(
        (lease.node, lease.price, lease.cpu_price),
        (second.id, 32_000_000, 3_000_000)
    );

    // Who pays more for memory than for processors, or the other way round, says so.
    let mut cheap_memory = order(&version, 1);
    cheap_memory.max_price = Some(16_000_000);
    let won = deploy(&server, &cheap_memory).await;
    server.report(&first, FunctionState::Ready).await;
    assert!(won.leases.iter().any(|lease| lease.node == first.id));
    let mut cheap = order(&version, 1);
    cheap.max_cpu_price = Some(2_999_999);
    let none = deploy(&server, &cheap).await;
    let reason = none.reason.unwrap();
    assert!(
        reason.contains("and 3000000 per CPU-second, above the limit"),
        "{reason}"
    );
    server.audit().await;
}

#[tokio::test]
async fn a_second_in_the_model_costs_memory_and_a_processor() {
    let (mut site, mut nodes) = Site::tuned(1, patient).await;
    let mut node = nodes.remove(0);
    let lease = site.lease(&node).await;
    site.bring(&node, &[node.used(1, lease, 100)]).await;
    site.ask(&mut node, PRICE, CPU_PRICE).await;
    site.server.pass(3_600_000);
    site.until(|deployment| deployment.leases[0].cpu_price == CPU_PRICE)
        .await;
    site.server.pass(1_000);
    assert_eq!(site.balance().await.held, 2 * HOLD);
    site.bring(&node, &[node.used(2, lease, 1_000)]).await;
    assert_eq!(site.balance().await.owed, 100 + 2 * 1_000);
    let lines = site.invoice().await.lines;
    let prices = lines
        .iter()
        .map(|line| (line.price, line.cpu_price, line.amount));
    assert_eq!(
        prices.collect::<Vec<_>>(),
        [(PRICE, 0, 100), (PRICE, CPU_PRICE, 2_000)]
    );
    site.check().await;
    site.server.audit().await;
}
