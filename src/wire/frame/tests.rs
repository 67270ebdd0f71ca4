use proptest::prelude::*;

use super::*;

const LIMIT: usize = 4 << 20;

fn admit_all(_: i16, _: i16, _: usize) -> Result<(), Close> {
    Ok(())
}

/// A stream of frames with the lengths in front.
fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.iter().flat_map(|frame| [&(frame.len() as u32).to_be_bytes()[..], frame].concat()).collect()
}

/// A whole frame, whose allocation has no slack that a stored batch would pin.
fn exact(frame: BytesMut) -> Vec<u8> {
    assert_eq!(frame.capacity(), frame.len());
    frame.to_vec()
}

/// Cuts `stream` that arrives in `pieces`; large rests are received in place as a connection does.
fn cut(stream: &[u8], mut pieces: impl Iterator<Item = usize>, in_place: bool) -> Result<Vec<Vec<u8>>, Close> {
    let mut cutter = FrameCutter::new(LIMIT);
    let mut frames = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let count = pieces.next().unwrap_or(rest.len()).min(rest.len());
        let (piece, after) = rest.split_at(count);
        let unfilled = if in_place { cutter.unfilled() } else { None };
        if let Some(mut room) = unfilled {
            let count = count.min(room.remaining_mut());
            room.put_slice(&piece[..count]);
            rest = &rest[count..];
            frames.extend(cutter.take_whole().map(exact));
        } else {
            let mut piece = piece;
            while let Some(frame) = cutter.push(&mut piece, admit_all)? {
                frames.push(exact(frame));
            }
            assert!(piece.is_empty(), "input left over without a frame");
            rest = after;
        }
        let (received, allocated) = match &cutter.state {
            State::Frame { frame, .. } => (frame.len(), frame.capacity()),
            State::Length { .. } => (0, 0),
        };
        assert!(allocated <= (2 * received).max(STEP_BYTES), "{allocated} bytes held for {received}");
        assert!(cutter.held_bytes() <= 2 * received);
    }
    assert!(!cutter.is_begun());
    Ok(frames)
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    (prop_oneof![8 => 8usize..64, 2 => 8usize..40_000, 1 => 200_000usize..900_000], any::<u8>())
        .prop_map(|(length, seed)| (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn frames_do_not_depend_on_the_split(
        frames in prop::collection::vec(any_frame(), 0..6),
        pieces in prop::collection::vec(prop_oneof![1usize..9, 1usize..20_000], 1..40),
        in_place in any::<bool>(),
    ) {
        let stream = stream(&frames);
        let cut = cut(&stream, pieces.iter().copied().cycle(), in_place).unwrap();
        prop_assert!(cut == frames);
    }

    #[test]
    fn any_bytes_are_cut_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut cutter = FrameCutter::new(64);
        let mut input = &bytes[..];
        while let Ok(Some(frame)) = cutter.push(&mut input, admit_all) {
            prop_assert!((HEADER_BYTES_MIN..=64).contains(&frame.len()));
        }
    }
}

#[test]
fn one_byte_at_a_time_gives_the_same_frames() {
    let frames = vec![vec![1; 8], (0..=255).collect::<Vec<u8>>(), vec![2; 20_000], vec![3; 9]];
    assert_eq!(cut(&stream(&frames), std::iter::repeat(1), true).unwrap(), frames);
}

/// What the first bytes of a connection come to: none while more are needed.
fn check(bytes: &[u8], expected: Option<Close>) {
    let mut cutter = FrameCutter::new(100);
    let result = cutter.push(&mut &bytes[..], |key, _, length| match key {
        3 if length > 20 => Err(Close::TooLarge { length, limit: 20 }),
        _ => Ok(()),
    });
    assert_eq!(result.err(), expected, "{bytes:?}");
}

#[test]
fn lengths_and_foreign_protocols_are_told_by_the_first_bytes() {
    check(&[0xff, 0xff, 0xff, 0xff], Some(Close::BadLength { length: -1 }));
    check(&[0x80, 0, 0, 0], Some(Close::BadLength { length: i32::MIN }));
    check(&[0, 0, 0, 0], Some(Close::BadLength { length: 0 }));
    check(&[0, 0, 0, 7], Some(Close::BadLength { length: 7 }));
    check(&[0, 0, 0, 8], None);
    check(&[0, 0, 0, 100], None);
    check(&[0, 0, 0, 101], Some(Close::TooLarge { length: 101, limit: 100 }));
    check(&[0x7f, 0xff, 0xff, 0xff], Some(Close::TooLarge { length: 0x7fff_ffff, limit: 100 }));
    check(&[0, 0, 0], None);
    for line in
        ["GET / HTTP/1.1", "POST /", "PUT /", "HEAD /", "DELETE /", "OPTIONS *", "PATCH /", "CONNECT a", "PRI * "]
    {
        check(line.as_bytes(), Some(Close::Foreign(Foreign::Http)));
    }
    check(&[0x16, 3, 1, 2, 0, 1], Some(Close::Foreign(Foreign::Tls)));
    check(&[0x16, 3, 3, 0, 0xff], Some(Close::Foreign(Foreign::Tls)));
}

#[test]
fn the_api_decides_its_limit_as_soon_as_its_key_is_there() {
    check(&[0, 0, 0, 21, 0, 3, 0, 1, 0, 0, 0], None);
    check(&[0, 0, 0, 21, 0, 3, 0, 1, 0, 0, 0, 0], Some(Close::TooLarge { length: 21, limit: 20 }));
    check(&[0, 0, 0, 20, 0, 3, 0, 1, 0, 0, 0, 0], None);
    check(&[0, 0, 0, 21, 0, 4, 0, 1, 0, 0, 0, 0], None);
}

#[test]
fn a_declared_length_takes_no_memory() {
    let mut cutter = FrameCutter::new(usize::MAX);
    let mut input = &[0x10, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1][..];
    assert_eq!(cutter.push(&mut input, admit_all), Ok(None));
    let State::Frame { frame, length, .. } = &cutter.state else { panic!("no frame begun") };
    assert_eq!(*length, 0x1000_0000);
    assert!(frame.capacity() <= FIRST_BYTES);
    assert!(cutter.held_bytes() <= 16);
    assert!(cutter.is_begun());
}
