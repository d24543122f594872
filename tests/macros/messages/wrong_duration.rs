#[jobbers::task(name = "mail.send", timeout = "30 seconds")]
async fn send(to: String) -> jobbers::Result<()> {
    drop(to);
    Ok(())
}

fn main() {}
