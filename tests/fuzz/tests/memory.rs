//! The bound on memory is the decoder's real worst, not a generous guess.

use plasmad_fuzz::memory;
use plasmad_wire::Response;

#[test]
fn a_list_in_a_list_reserves_for_the_same_bytes_twice_and_stays_within_the_bound() {
    // As many objects as could follow; the first has as many holders as could follow; their bytes are no holders.
    let rest = 65 * 1000;
    let mut body = [0; 9].to_vec();
    body.extend_from_slice(&1000u32.to_le_bytes());
    body.extend_from_slice(&[1; 28]);
    body.extend_from_slice(&[0; 33]);
    body.extend_from_slice(&((rest - 65) / 26u32).to_le_bytes());
    body.resize(13 + rest as usize, 0xFF);
    let (decoded, bytes) = memory::peak(|| Response::decode(0x800f, &body));
    assert!(matches!(decoded, Some(Err(_))), "{decoded:?}");
    assert!(bytes > 4 * body.len(), "{bytes} bytes for {}: the worst case is another", body.len());
    assert!(bytes <= memory::bound(body.len()), "{bytes} bytes for {}", body.len());
}
