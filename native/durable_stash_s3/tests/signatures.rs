//! The server takes requests from the holder of its key pair only, as they were signed.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use hyper::Method;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ClientOptions, Error, ObjectStoreExt};
use support::*;

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let world = world().await;
    let client = client(&world.server).with_secret_access_key("wrong").build().unwrap();
    for error in [client.put(&"k".into(), "body".into()).await.unwrap_err(), client.get(&"k".into()).await.unwrap_err()]
    {
        assert!(matches!(&error, Error::PermissionDenied { .. }), "{error}");
        assert!(error.to_string().contains("SignatureDoesNotMatch"), "{error}");
    }
    assert_eq!(world.server.store().commits(), 0);
}

#[tokio::test]
async fn an_unknown_access_key_is_refused() {
    let world = world().await;
    let client = client(&world.server).with_access_key_id("somebody").build().unwrap();
    let error = client.put(&"k".into(), "body".into()).await.unwrap_err();
    assert!(error.to_string().contains("InvalidAccessKeyId"), "{error}");
}

#[tokio::test]
async fn an_unsigned_request_is_refused() {
    let world = world().await;
    for method in [Method::PUT, Method::GET, Method::DELETE] {
        let answer = exchange(world.server.address(), &method, "/bucket/k", "", "body").await;
        assert_eq!((answer.status(), answer.code().as_str()), (403, "AccessDenied"));
    }
    assert_eq!(world.server.store().commits(), 0);
}

#[tokio::test]
async fn a_signature_is_good_for_its_own_key_and_method_only() {
    let world = world().await;
    let url = world.client.signed_url(Method::PUT, &Path::from("k"), PATIENCE).await.unwrap();
    let query = url.query().unwrap();
    for (method, path) in [(Method::PUT, "/bucket/other"), (Method::DELETE, "/bucket/k")] {
        let answer = exchange(world.server.address(), &method, &format!("{path}?{query}"), "", "body").await;
        assert_eq!((answer.status(), answer.code().as_str()), (403, "SignatureDoesNotMatch"));
    }
    let answer = exchange(world.server.address(), &Method::PUT, &format!("/bucket/k?{query}"), "", "body").await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_body_that_is_not_the_signed_one_is_refused() {
    let world = world().await;
    let forger = forging_proxy(world.server.address(), b"10 euros", b"99 euros").await;
    // The proxy passes one request a connection.
    let options = ClientOptions::new().with_allow_http(true).with_pool_max_idle_per_host(0);
    let client = client(&world.server).with_endpoint(forger).with_client_options(options).build().unwrap();
    let error = client.put(&"k".into(), "10 euros".into()).await.unwrap_err();
    assert!(error.to_string().contains("XAmzContentSHA256Mismatch"), "{error}");
    client.put(&"k".into(), "7 euros".into()).await.unwrap();
    assert_eq!(world.stored("k").unwrap(), "7 euros");
}

#[tokio::test]
async fn a_clock_that_is_far_off_is_refused() {
    let world = world().await;
    let headers = "x-amz-date: 20200101T000000Z\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\
                   Authorization: AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request, \
                   SignedHeaders=host;x-amz-date, Signature=00\r\n";
    let answer = exchange(world.server.address(), &Method::GET, "/bucket/k", headers, "").await;
    assert_eq!((answer.status(), answer.code().as_str()), (403, "RequestTimeTooSkewed"));
}

/// Passes everything on, but for these bytes. Its address is in every request's `Host`, as it was signed.
async fn forging_proxy(to: std::net::SocketAddr, from: &'static [u8], into: &'static [u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    assert_eq!(from.len(), into.len());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
            tokio::spawn(async move {
                let mut request = Vec::new();
                // Small requests: whatever comes within a moment is all of it.
                while let Ok(Ok(read)) =
                    tokio::time::timeout(Duration::from_millis(50), near.read_buf(&mut request)).await
                {
                    if read == 0 {
                        return;
                    }
                }
                if let Some(at) = request.windows(from.len()).position(|window| window == from) {
                    request[at..at + from.len()].copy_from_slice(into);
                }
                far.write_all(&request).await.unwrap();
                let _ = tokio::io::copy(&mut far, &mut near).await;
            });
        }
    });
    endpoint
}
