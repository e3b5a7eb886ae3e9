//! Content types by bytes and names, and kinds of outputs.

use super::{content_type, kind_of};
use crate::task::OutputKind;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
const MP4: &[u8] = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";
const M4A: &[u8] = b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom";
const MOV: &[u8] = b"\0\0\0\x14ftypqt  \0\0\0\0qt  ";
const MKV: &[u8] = b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x23\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x88matroska";

#[test]
fn bytes_take_precedence_over_names() {
    for (head, name, expected) in [
        (PNG, "a.png", "image/png"),
        (PNG, "a.jpg", "image/png"),
        (PNG, "noname", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "x", "image/jpeg"),
        (b"GIF89a\x01\0", "x", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "x", "image/webp"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "x", "image/avif"),
        (b"BM\x36\0\0\0\0\0", "x", "image/bmp"),
        (b"II*\0\x08\0\0\0\0\0\0\0", "x", "image/tiff"),
        (MP4, "x", "video/mp4"),
        (MP4, "a.m4a", "audio/mp4"),
        (M4A, "a.m4a", "audio/mp4"),
        (MOV, "a.mov", "video/quicktime"),
        (MKV, "a.mkv", "video/x-matroska"),
        (MKV, "a.webm", "video/webm"),
        (b"ID3\x03\0\0\0\0", "x", "audio/mpeg"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "x", "audio/wav"),
        (b"fLaC\0\0\0\x22", "x", "audio/flac"),
        (b"OggS\0\x02\0\0", "x", "audio/ogg"),
        (b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead", "a.opus", "audio/ogg"),
        (b"glTF\x02\0\0\0", "x", "model/gltf-binary"),
        (b"8BPS\0\x01", "x", "image/vnd.adobe.photoshop"),
        (b"PK\x03\x04", "a.zip", "application/zip"),
        (b"PK\x03\x04", "a.usdz", "model/vnd.usdz+zip"),
        (b"\x1f\x8b\x08", "a.spz", "model/x-spz"),
    ] {
        assert_eq!(content_type(head, name), expected, "{name} {head:?}");
    }
}

#[test]
fn the_name_decides_if_the_bytes_are_unknown() {
    for (head, name, expected) in [
        (&b"hello"[..], "a.TXT", "text/plain"),
        (b"BMW is a car", "a.txt", "text/plain"),
        ("文".as_bytes().split_at(2).0, "a.txt", "text/plain"),
        (b"{\"a\":1}", "a.json", "application/json"),
        (b"{\"asset\":{}}", "a.gltf", "model/gltf+json"),
        (b"v 1.0 2.0 3.0", "a.obj", "model/obj"),
        (b"", "a.mp3", "audio/mpeg"),
        (b"\x40\0\0\0\0\0\0\0{\"__metadata__\"", "a.safetensors", "application/octet-stream"),
        (b"\x40\0\0\0\0\0\0\0{\"latent_tensor\"", "a.latent", "application/octet-stream"),
        (b"a,b\n1,2", "a.csv", "text/csv"),
        ("# 图".as_bytes(), "a.md", "text/markdown"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nhello", "a.srt", "application/x-subrip"),
        (b"WEBVTT\n", "a.vtt", "text/vtt"),
        (b"\x76\x2f\x31\x01\x02\0\0\0", "a.exr", "image/x-exr"),
        (b"#?RADIANCE\n", "a.hdr", "image/vnd.radiance"),
        (b"ply\nformat binary_little_endian 1.0\n", "a.ply", "model/ply"),
        (b"\0\0\x80\x3f\0\0", "a.splat", "model/x-splat"),
        (b"BM\0\0\x80\x3f", "a.ksplat", "model/x-ksplat"),
        (b"solid cube\n", "a.stl", "model/stl"),
        (b"Kaydara FBX Binary  \0", "a.fbx", "model/x-fbx"),
        (b"\x93NUMPY\x01\0", "a.npy", "application/x-npy"),
        (b"anything", "a.bin", "application/octet-stream"),
        (b"", "", "application/octet-stream"),
    ] {
        assert_eq!(content_type(head, name), expected, "{name}");
    }
}

#[test]
fn active_content_is_an_octet_stream() {
    let html = b"<!DOCTYPE html><script>alert(1)</script>";
    for name in [
        "a.html",
        "a.png",
        "a.txt",
        "a.json",
        "a",
        "a.jpg.html",
        "a.html.",
        "A.XHTML",
        "a.obj",
        "a.md",
        "a.csv",
        "a.ply",
        "a.vtt",
    ] {
        assert_eq!(content_type(html, name), "application/octet-stream", "{name}");
    }
    for name in ["a.html", "a.svg", "a.xml", "a.js", "a.pdf", "a.mht", "a.png.svg", "a.dae"] {
        assert_eq!(content_type(PNG, name), "application/octet-stream", "{name}: systems go by the name");
    }
    for (head, name) in [
        (&b"%PDF-1.7"[..], "a.pdf"),
        (b"%PDF-1.7", "a.png"),
        (b"<svg xmlns=\"http://www.w3.org/2000/svg\">", "a.svg"),
        (b"<?xml version=\"1.0\"?>", "a.xml"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "a.png"),
        (b"PK\x03\x04", "a.mp4"),
        (b"\0\x01\x02", "a.txt"),
        (b"\xff\xfeh\0", "a.txt"),
    ] {
        assert_eq!(content_type(head, name), "application/octet-stream", "{name} {head:?}");
    }
}

#[test]
fn the_kind_of_an_output_follows_content_then_name_then_key() {
    for (content_type, ui_key, filename, expected) in [
        ("image/png", "images", "a.png", OutputKind::Image),
        ("video/mp4", "images", "a.mp4", OutputKind::Video),
        ("image/gif", "gifs", "a.gif", OutputKind::Image),
        ("audio/flac", "audio", "a.flac", OutputKind::Audio),
        ("application/octet-stream", "latents", "a.latent", OutputKind::Latent),
        ("model/gltf-binary", "3d", "a.glb", OutputKind::Model3d),
        ("model/x-splat", "result", "a.splat", OutputKind::Model3d),
        ("application/octet-stream", "result", "a.usdc", OutputKind::Model3d),
        ("application/octet-stream", "images", "a.raw", OutputKind::Image),
        ("application/octet-stream", "images", "a.html", OutputKind::File),
        ("text/plain", "text", "a.txt", OutputKind::File),
        ("application/zip", "images", "a.zip", OutputKind::File),
    ] {
        assert_eq!(kind_of(content_type, ui_key, filename), expected, "{content_type} {ui_key} {filename}");
    }
}
