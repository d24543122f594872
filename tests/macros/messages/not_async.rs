#[jobbers::task(name = "mail.send")]
fn send(to: String) -> jobbers::Result<()> {
    drop(to);
    Ok(())
}

fn main() {}
