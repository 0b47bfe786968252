//! What can be put into a region.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Plain data that processes share.
///
/// Every pattern of bits is a value of it, since another process may write any; it has no padding and no
/// pointers. `zerocopy`'s traits say so; this one adds what two programs compare before they
/// share a value: a name and a version. Change the version whenever the meaning of a byte changes.
///
/// ```
/// use folio_ipc::{Data, Payload, Region};
/// use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
///
/// #[derive(Clone, Copy, Payload, FromBytes, IntoBytes, Immutable, KnownLayout)]
/// #[repr(C)]
/// #[payload(version = 2)]
/// struct Counters {
///     hits: u64,
///     misses: u64,
/// }
///
/// let region = Region::options().anonymous()?;
/// let counters = region.object::<Data<Counters>>("counters")?;
/// counters.set(&Counters { hits: 1, misses: 0 })?;
/// assert_eq!(counters.get()?.hits, 1);
/// # Ok::<(), folio_ipc::Error>(())
/// ```
pub trait Payload:
    FromBytes + IntoBytes + Immutable + KnownLayout + Copy + Send + Sync + 'static
{
    /// What the type is called, in every program that shares it.
    const NAME: &'static str;

    /// Which version of that type it is.
    const VERSION: u32 = 1;
}

macro_rules! payloads {
    ($($type:ident)*) => {
        $(impl Payload for $type {
            const NAME: &'static str = stringify!($type);
        })*
    };
}

payloads!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

/// The name is that of one element: the size, which is compared as well, tells how many there are.
impl<T: Payload, const N: usize> Payload for [T; N] {
    const NAME: &'static str = T::NAME;
    const VERSION: u32 = T::VERSION;
}

impl Payload for () {
    const NAME: &'static str = "()";
}
