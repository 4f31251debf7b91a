# Varnish in front of a distributor: varnishd -f docs/varnish.vcl -p pipe_timeout=3600. What is live passes
# as it comes, what will never change is kept.
#
#   players, consumers ──▶ varnish ──▶ distributor 127.0.0.1:8080 ◀── origins, through varnish as well
vcl 4.1;

backend freshet {
    .host = "127.0.0.1";
    .port = "8080";
    # Longer than Prefer: wait=300.
    .first_byte_timeout = 310s;
    # Longer than the longest silence of a stream.
    .between_bytes_timeout = 1h;
}

sub vcl_recv {
    # Set by nobody but us.
    unset req.http.X-Freshet-Range;
    # Native consumers say what they hold, and want the newest first: a pipe holds nothing back, and takes
    # nothing from the distributor that its consumer does not take.
    if (req.method == "GET" && (req.http.Content-Range || req.http.Have)) {
        return (pipe);
    }
    # Writers; HEAD, which tells what is held now; If-Range, which has to be decided where the incarnation
    # is known; and whoever shows a token.
    if (req.method != "GET" || req.http.If-Range || req.http.Authorization
        || req.http.Want-Repr-Digest) {
        return (pass);
    }
    # Varnish would ask for the whole, which a live stream does not have, and cut the range out of it.
    if (req.http.Range) {
        set req.http.X-Freshet-Range = req.http.Range;
        unset req.http.Range;
    }
    return (hash);
}

# Each range is an object of its own.
sub vcl_hash {
    hash_data(req.http.X-Freshet-Range);
}

sub vcl_backend_fetch {
    if (bereq.http.X-Freshet-Range) {
        set bereq.http.Range = bereq.http.X-Freshet-Range;
        unset bereq.http.X-Freshet-Range;
    }
}

sub vcl_backend_response {
    # Varnish takes for a fault a range that it has not asked for itself, and Content-Range where that says
    # which bytes are held. Both are put aside, and put back when the reply is delivered.
    if (beresp.status == 206) {
        set beresp.http.X-Freshet-Partial = "yes";
        set beresp.status = 200;
        # As Cache-Control says; of a 206 Varnish does not read it.
        set beresp.ttl = 365d;
    }
    if (beresp.http.Content-Range) {
        set beresp.http.X-Freshet-Content-Range = beresp.http.Content-Range;
        unset beresp.http.Content-Range;
    }
    if (beresp.http.Cache-Control ~ "no-store") {
        # Live, or an error: for a second nobody waits for anybody's answer to be kept.
        set beresp.ttl = 1s;
        set beresp.uncacheable = true;
        # From Varnish 7.2 on: what a slow player has not taken stays at the distributor. Before that it is
        # bounded by -s Transient=malloc,SIZE only.
        # set beresp.transit_buffer = 64KB;
        return (deliver);
    }
}

sub vcl_deliver {
    if (resp.http.X-Freshet-Partial && resp.status == 200) {
        set resp.status = 206;
    }
    if (resp.http.X-Freshet-Content-Range) {
        set resp.http.Content-Range = resp.http.X-Freshet-Content-Range;
    }
    unset resp.http.X-Freshet-Partial;
    unset resp.http.X-Freshet-Content-Range;
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}
