//! Icecast, nginx with nchan, and Varnish, each set up to do this one thing as well as it can: no access
//! log, no burst for whoever joins, room for all connections.

use super::{
    PATH,
    peer::{Peer, Place},
};

/// Icecast takes a source in and gives it out, in blocks of 1,400 bytes.
pub(super) const ICECAST: Peer = Peer {
    program: "icecast2",
    beside: &["/usr/bin"],
    needs: Some("/usr/share/icecast2/web/status.xsl"),
    package: "icecast2",
    steps_down: false,
    file: "icecast.xml",
    config: |place| {
        let (clients, sources) = (place.connections() + 50, place.scenario.streams + 1);
        let (host, port) = (place.address.ip(), place.address.port());
        format!(
            "<icecast>\n\
             <limits><clients>{clients}</clients><sources>{sources}</sources>\
             <queue-size>16777216</queue-size><burst-on-connect>0</burst-on-connect>\
             <burst-size>0</burst-size></limits>\n\
             <authentication><source-password>bench</source-password>\
             <admin-password>bench</admin-password></authentication>\n\
             <listen-socket><port>{port}</port><bind-address>{host}</bind-address></listen-socket>\n\
             <paths><logdir>{0}</logdir><webroot>/usr/share/icecast2/web</webroot>\
             <adminroot>/usr/share/icecast2/admin</adminroot></paths>\n\
             <logging><errorlog>error.log</errorlog><loglevel>1</loglevel></logging>\n\
             </icecast>\n",
            place.folder.display(),
        )
    },
    arguments: |place| vec!["-c".into(), place.file("icecast.xml")],
    urls: |Place { address, .. }| {
        (format!("icecast://source:bench@{address}{PATH}"), format!("http://{address}{PATH}"))
    },
};

/// nginx with nchan: one POST for each chunk, and one long reply for each consumer.
pub(super) const NCHAN: Peer = Peer {
    program: "nginx",
    beside: &["/usr/sbin"],
    needs: Some("/usr/lib/nginx/modules/ngx_nchan_module.so"),
    package: "libnginx-mod-nchan",
    // nchan has it make a folder below /var, whatever it is told.
    steps_down: true,
    file: "nginx.conf",
    config: |place| {
        let (head, http) = nginx(place);
        format!(
            "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;\n\
             {head}http {{\n{http}nchan_shared_memory_size 512m;\n\
             server {{\nlisten {} backlog=4096;\n\
             location ~ ^/publish/(.+)$ {{ nchan_publisher; nchan_channel_id $1;\n\
             client_max_body_size 4m; client_body_buffer_size 2m; nchan_message_buffer_length 256; }}\n\
             location ~ ^/(live/.+)$ {{ nchan_subscriber http-chunked; nchan_channel_id $1;\n\
             nchan_subscriber_first_message newest; }}\n\
             }}\n}}\n",
            place.address,
        )
    },
    arguments: nginx_arguments,
    urls: |Place { address, .. }| {
        (format!("post+http://{address}/publish{PATH}"), format!("http://{address}{PATH}"))
    },
};

/// nginx with a file: what it is best at.
pub(super) const STATIC: Peer = Peer {
    program: "nginx",
    beside: &["/usr/sbin"],
    needs: None,
    package: "nginx",
    steps_down: true,
    file: "nginx.conf",
    config: |place| {
        let (head, http) = nginx(place);
        format!(
            "{head}http {{\n{http}sendfile on;\ntcp_nopush on;\nmax_ranges 1;\n\
             server {{\nlisten {} backlog=4096;\nroot {};\n\
             dav_methods PUT;\ncreate_full_put_path on;\nclient_max_body_size 0;\n\
             client_body_buffer_size 1m;\n}}\n}}\n",
            place.address,
            place.folder.display(),
        )
    },
    arguments: nginx_arguments,
    urls: |Place { address, .. }| {
        (format!("http://{address}{PATH}"), format!("http://{address}{PATH}"))
    },
};

/// nginx before a distributor, as what is live needs it.
pub(super) const PROXY: Peer = Peer {
    program: "nginx",
    beside: &["/usr/sbin"],
    needs: None,
    package: "nginx",
    steps_down: true,
    file: "nginx.conf",
    config: |place| proxy(place, &format!("listen {} backlog=4096;\n", place.address)),
    arguments: nginx_arguments,
    urls: |Place { address, publisher, .. }| {
        (format!("http://{publisher}{PATH}"), format!("http://{address}{PATH}"))
    },
};

/// The certificate that it shows, and the key to it.
pub(super) const CERTIFICATE: [&str; 2] = ["certificate.pem", "key.pem"];

/// The same, with TLS.
pub(super) const TLS: Peer = Peer {
    config: |place| {
        let [certificate, key] = CERTIFICATE.map(|name| place.file(name));
        let listen = format!(
            "listen {} ssl backlog=4096;\nssl_certificate {certificate};\nssl_certificate_key {key};\n",
            place.address,
        );
        proxy(place, &listen)
    },
    urls: |Place { address, publisher, .. }| {
        (format!("http://{publisher}{PATH}"), format!("https://{address}{PATH}"))
    },
    ..PROXY
};

fn proxy(place: &Place<'_>, listen: &str) -> String {
    let (head, http) = nginx(place);
    format!(
        "{head}http {{\n{http}server {{\n{listen}location / {{ proxy_pass http://{};\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off;\n\
         proxy_read_timeout 1h; }}\n}}\n}}\n",
        place.publisher,
    )
}

/// What every nginx of ours begins with, and what its `http` does.
fn nginx(place: &Place<'_>) -> (String, String) {
    // A proxy has two for each.
    let (folder, connections) = (place.folder.display(), 2 * place.connections() + 512);
    let user = if place.is_root { "user nobody nogroup;\n" } else { "" };
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .concat();
    let head = format!(
        "daemon off;\n{user}worker_processes 1;\nworker_rlimit_nofile {connections};\n\
         pid {folder}/pid;\nerror_log {folder}/error.log crit;\n\
         events {{ worker_connections {connections}; }}\n"
    );
    (head, format!("access_log off;\nkeepalive_requests 1000000000;\n{paths}"))
}

fn nginx_arguments(place: &Place<'_>) -> Vec<String> {
    let (config, log) = (place.file("nginx.conf"), place.file("error.log"));
    ["-c", &config, "-e", &log, "-p", &place.file("")].map(Into::into).to_vec()
}

/// Varnish comes for the stream itself, and gives one reply of its backend to everybody.
pub(super) const VARNISH: Peer = Peer {
    program: "varnishd",
    beside: &["/usr/sbin"],
    needs: None,
    package: "varnish",
    steps_down: false,
    file: "stream.vcl",
    config: |place| {
        let (host, port) = (place.publisher.ip(), place.publisher.port());
        format!(
            "vcl 4.1;\n\
             backend default {{ .host = \"{host}\"; .port = \"{port}\";\n\
             .first_byte_timeout = 60s; .between_bytes_timeout = 60s; }}\n\
             sub vcl_backend_response {{\n\
             set beresp.do_stream = true; set beresp.ttl = 1h; set beresp.uncacheable = false; }}\n"
        )
    },
    arguments: |place| {
        let threads = place.connections() + 200;
        let pools = format!("thread_pool_max={threads}");
        let words = ["-F", "-j", "none", "-s", "malloc,8g", "-p", &pools, "-p", "thread_pools=1"];
        let own =
            ["-a".to_owned(), place.address.to_string(), "-f".into(), place.file("stream.vcl")];
        let name = ["-n".to_owned(), place.file("varnish")];
        words.into_iter().map(Into::into).chain(own).chain(name).collect()
    },
    urls: |Place { address, publisher, .. }| {
        (format!("serve://{publisher}{PATH}"), format!("http://{address}{PATH}"))
    },
};
