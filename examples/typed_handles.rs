//! Handles know their types: parameters and outputs that do not fit are errors of the compiler.
use jobbers::{Client, RunId, Worker, task};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Order {
    number: u32,
    cents: Vec<u64>,
}

#[derive(Serialize, Deserialize, Debug)]
struct Invoice {
    order: u32,
    total: u64,
}

#[task(name = "invoice.make", queue = "invoices", timeout = "30s")]
async fn make_invoice(order: Order) -> jobbers::Result<Invoice> {
    Ok(Invoice { order: order.number, total: order.cents.iter().sum() })
}

#[tokio::main]
async fn main() -> jobbers::Result<()> {
    let backend = jobbers::connect("memory:").await?;
    let worker = Worker::queues(["invoices"]).register::<make_invoice>().start(&backend).await?;
    let client = Client::new(&backend);
    // An id made of what the job is about: sent again, it is the same job.
    let id = RunId::derived(&["invoice", "4711"]);
    let order = Order { number: 4711, cents: vec![1_999, 501] };
    let job = make_invoice::submit(&client, &order).id(id).await?;
    let invoice: Invoice = job.output().await?;
    println!("order {}: {} cents", invoice.order, invoice.total);
    // Elsewhere, with nothing but the id:
    let again = client.handle::<Invoice>(id).output().await?;
    println!("{again:?}");
    worker.stop().await.map(drop)
}
