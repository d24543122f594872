use jobbers::{Task, Worker};

const SEND: Task<String> = Task::new("mail.send");

async fn send(number: u32) -> jobbers::Result<()> {
    let _ = number;
    Ok(())
}

fn worker() -> Worker {
    Worker::queues(["mail"]).task(SEND, send)
}

fn main() {}
