//! A crash at each call, and the handler survives them all: `cargo test --example crash_points`.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jobbers::testing::{Crash, crash_points};
use jobbers::worker::State;
use jobbers::{Ctx, JobError, RunId, Task, Worker};

const SHIP: Task<u32> = Task::new("order.ship");
const THANK: Task<u32> = Task::new("mail.thank");

/// Your database: what is in it outlives a crash. A row is written again, never twice, since its key is the order.
#[derive(Clone, Default)]
struct Shop {
    parcels: Arc<Mutex<BTreeMap<u32, &'static str>>>,
    mails: Arc<Mutex<BTreeMap<u32, String>>>,
}

async fn ship(ctx: Ctx, State(shop): State<Shop>, order: u32) -> Result<(), JobError> {
    shop.parcels.lock().unwrap().insert(order, "packed");
    ctx.step("packed");
    shop.parcels.lock().unwrap().insert(order, "sent");
    ctx.then(THANK, &order)?;
    Ok(())
}

async fn thank(State(shop): State<Shop>, order: u32) -> Result<(), JobError> {
    shop.mails.lock().unwrap().insert(order, format!("order {order} is on its way"));
    Ok(())
}

/// Played once uncut, and once for each crash point.
fn an_order_is_shipped(crash: &Crash) {
    let shop = Shop::default();
    let id = RunId::derived(&["order", "4711"]);
    crash.run(async |client| client.submit(SHIP, &4711).id(id).await.map(drop));
    crash.work(|| Worker::queues(["default"]).state(shop.clone()).task(SHIP, ship).task(THANK, thank));
    assert_eq!(*shop.parcels.lock().unwrap(), BTreeMap::from([(4711, "sent")]));
    assert_eq!(shop.mails.lock().unwrap().len(), 1);
    crash.kit().assert_submitted_times(THANK, 1);
}

fn main() {
    let points = crash_points(an_order_is_shipped);
    println!("the order is shipped, whatever crashes: {} calls, each cut in every way", points.calls.len());
}

#[test]
fn an_order_is_shipped_whatever_crashes() {
    assert!(crash_points(an_order_is_shipped).cut > 50);
}
