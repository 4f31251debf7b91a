//! The pages for people, and what they are made of: files of `distributor/web`, in this binary.
//!
//! ```text
//!   /                what there is        index.html ─┬─ /assets/*.css, *.js
//!   /watch/NAME      one stream, playing  watch.html ─┤
//!   /groups/ID       a movie together     group.html ─┤
//!   /operate         for who looks after  operate.html┤
//!                                                     └─ /events: the catalogue as it changes
//! ```
//!
//! A page is the same whatever it shows: it knows from its address which stream is meant, and asks for
//! the rest. So nothing that an origin says is ever put into markup here.

mod events;
mod feed;

use freshet_protocol::{ETag, RouteError};
use http::{HeaderMap, HeaderValue, header};

use super::{
    Response,
    body::Body,
    fields,
    headers::value,
    reply::{self, Refusal},
};

pub(super) use events::deliver as events;
pub(super) use feed::Feed;

/// Where pages may take from, and what they may do: this distributor alone; `blob:` is how Media Source
/// Extensions are given to a `<video>`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; media-src 'self' blob:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Home,
    Watch,
    Group,
    Operate,
}

/// One file as it is served.
struct File {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// Every file under `/assets/`.
const FILES: &[File] = &[
    js("dom.js", include_str!("../../../web/dom.js")),
    js("events.js", include_str!("../../../web/events.js")),
    js("format.js", include_str!("../../../web/format.js")),
    js("group/member.js", include_str!("../../../web/group/member.js")),
    js("group/together.js", include_str!("../../../web/group/together.js")),
    js("group.js", include_str!("../../../web/group.js")),
    js("home.js", include_str!("../../../web/home.js")),
    svg("icon.svg", include_str!("../../../web/icon.svg")),
    js("operate.js", include_str!("../../../web/operate.js")),
    js("player/assembly.js", include_str!("../../../web/player/assembly.js")),
    js("player/clock.js", include_str!("../../../web/player/clock.js")),
    js("player/container.js", include_str!("../../../web/player/container.js")),
    js("player/marks.js", include_str!("../../../web/player/marks.js")),
    js("player/mp4.js", include_str!("../../../web/player/mp4.js")),
    js("player/multipart.js", include_str!("../../../web/player/multipart.js")),
    js("player/pace.js", include_str!("../../../web/player/pace.js")),
    js("player/player.js", include_str!("../../../web/player/player.js")),
    js("player/ranges.js", include_str!("../../../web/player/ranges.js")),
    js("player/sink-element.js", include_str!("../../../web/player/sink-element.js")),
    js("player/sink-mse.js", include_str!("../../../web/player/sink-mse.js")),
    js("player/sink-ts.js", include_str!("../../../web/player/sink-ts.js")),
    js("player/source.js", include_str!("../../../web/player/source.js")),
    js("player/ts.js", include_str!("../../../web/player/ts.js")),
    js("player/webm.js", include_str!("../../../web/player/webm.js")),
    css("style.css", include_str!("../../../web/style.css")),
    js("vendor/mpegts.js", include_str!("../../../web/vendor/mpegts.js")),
    js("watch.js", include_str!("../../../web/watch.js")),
];

const fn css(name: &'static str, text: &'static str) -> File {
    File { name, media_type: "text/css; charset=utf-8", text }
}

const fn js(name: &'static str, text: &'static str) -> File {
    File { name, media_type: "text/javascript; charset=utf-8", text }
}

const fn svg(name: &'static str, text: &'static str) -> File {
    File { name, media_type: "image/svg+xml", text }
}

const fn html(text: &'static str) -> File {
    File { name: "", media_type: "text/html; charset=utf-8", text }
}

/// `page`, for a request with these fields.
pub(super) fn page(asked: &HeaderMap, page: Page) -> Result<Response, Refusal> {
    const HOME: File = html(include_str!("../../../web/index.html"));
    const WATCH: File = html(include_str!("../../../web/watch.html"));
    const OPERATE: File = html(include_str!("../../../web/operate.html"));
    const GROUP: File = html(include_str!("../../../web/group.html"));
    let mut response = deliver(
        asked,
        match page {
            Page::Home => &HOME,
            Page::Watch => &WATCH,
            Page::Group => &GROUP,
            Page::Operate => &OPERATE,
        },
    )?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    Ok(response)
}

/// The file of that name.
pub(super) fn asset(asked: &HeaderMap, name: &str) -> Result<Response, Refusal> {
    let file = FILES.iter().find(|file| file.name == name);
    deliver(asked, file.ok_or_else(|| RouteError::unknown(&format!("/assets/{name}")))?)
}

/// A file, unless the browser has this very one: it asks each time, so that pages and scripts of two
/// versions never meet.
fn deliver(asked: &HeaderMap, file: &File) -> Result<Response, Refusal> {
    let tag = format!("{:08x}", crc32c::crc32c(file.text.as_bytes()));
    let known = fields::tags(asked, header::IF_NONE_MATCH)?;
    let is_known =
        ETag::new(&tag).is_ok_and(|tag| known.is_some_and(|known| known.matches_weak(&tag)));
    let mut response =
        if is_known { reply::not_modified() } else { reply::ok(Body::whole(file.text)) };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::ETAG, value(format!("\"{tag}\"")));
    Ok(response)
}
