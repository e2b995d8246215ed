//! What a gateway reads of a stranger before anything else: a ClientHello.

use nacre_gateway::hello::{HelloError, MAX_HELLO, Parser, parse};
use nacre_gateway::zone::Zone;

/// Reads a ClientHello; in whatever pieces it comes, it means the same.
pub fn client_hello(data: &[u8]) -> Result<(), &'static str> {
    let whole = parse(data).map(|hello| hello.server_name);
    let whole = whole.map_err(|error| error.code());
    // The bytes themselves say how they are cut.
    let piece = 1 + usize::from(data.last().copied().unwrap_or(0));
    assert_eq!(in_pieces(data, piece), whole, "in pieces of {piece}");
    let Some(name) = whole? else {
        return Err("no-name");
    };
    assert!(!name.is_empty() && name.len() <= 253, "{name:?}");
    assert_eq!(name, name.to_ascii_lowercase(), "two spellings of a name");
    if let Ok(zone) = "fn.example.org".parse::<Zone>()
        && let Some(function) = zone.function(&name)
    {
        assert_eq!(name, format!("{function}.fn.example.org"));
    }
    Ok(())
}

fn in_pieces(data: &[u8], piece: usize) -> Result<Option<String>, &'static str> {
    let mut parser = Parser::default();
    let mut fed = 0;
    for bytes in data.chunks(piece) {
        fed += bytes.len();
        match parser.feed(bytes) {
            Ok(None) => assert!(fed < MAX_HELLO, "more is read than may be"),
            Ok(Some(hello)) => return Ok(hello.server_name),
            Err(error) => return Err(error.code()),
        }
    }
    Err(HelloError::Incomplete.code())
}
