#[jobbers::task(name = "mail.send")]
async fn send() -> jobbers::Result<()> {
    Ok(())
}

fn main() {}
