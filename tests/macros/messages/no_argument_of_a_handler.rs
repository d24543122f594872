#[jobbers::task(name = "mail.send")]
async fn send(from: String, to: String) -> jobbers::Result<()> {
    drop((from, to));
    Ok(())
}

fn main() {}
