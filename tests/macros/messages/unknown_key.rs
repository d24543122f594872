#[jobbers::task(name = "mail.send", time_out = "30s")]
async fn send(to: String) -> jobbers::Result<()> {
    drop(to);
    Ok(())
}

fn main() {}
