//! A crash at each call, and your handlers survive them all: `cargo test --example crash_points`.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jobbers::testing::{Crash, crash_points};
use jobbers::worker::State;
use jobbers::{Ctx, JobError, RunId, Task, Worker};

const SHIP: Task<u32> = Task::new("order.ship");
const THANK: Task<u32> = Task::new("mail.thank");

/// Your database: it outlives a crash. What is written again under its key is no second row.
#[derive(Clone, Default)]
struct Shop(Arc<Mutex<BTreeMap<(&'static str, u32), &'static str>>>);

impl Shop {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<(&'static str, u32), &'static str>> {
        self.0.lock().expect("nobody panics while it is locked")
    }
}

async fn ship(ctx: Ctx, State(shop): State<Shop>, order: u32) -> Result<(), JobError> {
    shop.rows().insert(("parcel", order), "packed");
    ctx.step("packed");
    shop.rows().insert(("parcel", order), "sent");
    ctx.then(THANK, &order)?;
    Ok(())
}

async fn thank(State(shop): State<Shop>, order: u32) -> Result<(), JobError> {
    shop.rows().insert(("mail", order), "it is on its way");
    Ok(())
}

/// Played once uncut, and once for each crash point.
fn an_order(crash: &Crash) {
    let (shop, id) = (Shop::default(), RunId::derived(&["order", "4711"]));
    crash.run(async |client| client.submit(SHIP, &4711).id(id).await.map(drop));
    crash.work(|| Worker::queues(["default"]).state(shop.clone()).task(SHIP, ship).task(THANK, thank));
    assert_eq!(shop.rows().get(&("parcel", 4711)), Some(&"sent"));
    assert_eq!(shop.rows().get(&("mail", 4711)), Some(&"it is on its way"));
    crash.kit().assert_submitted_times(THANK, 1);
}

fn main() {
    println!("the order is shipped: {}", crash_points(an_order));
}

#[test]
fn an_order_is_shipped_whatever_crashes() {
    assert!(crash_points(an_order).cut > 30);
}
