#[jobbers::task(name = "mail.send", codec = "xml")]
async fn send(to: String) -> jobbers::Result<()> {
    drop(to);
    Ok(())
}

fn main() {}
