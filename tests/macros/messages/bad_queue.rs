#[jobbers::task(name = "mail.send", queue = "bulk_mail")]
async fn send(to: String) -> jobbers::Result<()> {
    drop(to);
    Ok(())
}

fn main() {}
