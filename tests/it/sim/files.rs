//! Pictures, uploads, `/view`, and other kinds of files.

use super::{
    client::{Stand, picture, stand, stand_with, text_to_image},
    replay::png_of,
};
use serde_json::{Value, json};
use shuzhiren::sim::SimOptions;
use std::io::Cursor;

async fn upload(stand: &Stand, name: &str, content: &[u8], fields: &[(&str, &str)]) -> (u16, Value) {
    let part = reqwest::multipart::Part::bytes(content.to_vec()).file_name(name.to_owned());
    let mut form = reqwest::multipart::Form::new().part("image", part);
    for (key, value) in fields {
        form = form.text((*key).to_owned(), (*value).to_owned());
    }
    let response = stand.http.post(stand.url("/upload/image")).multipart(form).send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

async fn bytes(stand: &Stand, path: &str) -> Vec<u8> {
    let response = stand.http.get(stand.url(path)).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.bytes().await.unwrap().to_vec()
}

/// Returns width, height, RGB and the `tEXt` chunks.
fn decoded(png: &[u8]) -> (u32, u32, Vec<u8>, Vec<(String, String)>) {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    let texts =
        reader.info().uncompressed_latin1_text.iter().map(|text| (text.keyword.clone(), text.text.clone())).collect();
    (frame.width, frame.height, pixels, texts)
}

#[tokio::test]
async fn the_prompt_text_is_drawn_on_a_picture_of_the_requested_size() {
    let stand = stand().await;
    let workflow = text_to_image("a cat in a hat", 42, 320, 200);
    let body =
        json!({"prompt": workflow, "prompt_id": "p", "extra_data": {"extra_pnginfo": {"workflow": {"id": "w"}}}});
    stand.submit(&body).await;
    let entry = stand.ended("p").await;
    assert_eq!(
        entry["outputs"]["9"]["images"][0],
        json!({"filename": "ComfyUI_00001_.png", "subfolder": "", "type": "output"})
    );
    let png = bytes(&stand, "/view?filename=ComfyUI_00001_.png&type=output&subfolder=").await;
    let (width, height, pixels, texts) = decoded(&png);
    assert_eq!((width, height), (320, 200));
    assert!(pixels.chunks_exact(3).filter(|pixel| **pixel == [255; 3]).count() > 200, "no text on the picture");
    let text = |key: &str| texts.iter().find(|(name, _)| name == key).unwrap().1.clone();
    assert_eq!(serde_json::from_str::<Value>(&text("prompt")).unwrap()["6"]["inputs"]["text"], "a cat in a hat");
    assert_eq!(text("workflow"), "{\"id\": \"w\"}");
    let other = stand.run(&text_to_image("a dog", 42, 320, 200)).await;
    assert_eq!(other["outputs"]["9"]["images"][0]["filename"], "ComfyUI_00002_.png");
    assert_ne!(decoded(&bytes(&stand, "/view?filename=ComfyUI_00002_.png").await).2, pixels);
    let again = stand.run(&text_to_image("a dog", 43, 320, 200)).await;
    assert_eq!(again["status"]["status_str"], "success");
    assert_ne!(
        decoded(&bytes(&stand, "/view?filename=ComfyUI_00003_.png").await).2,
        decoded(&bytes(&stand, "/view?filename=ComfyUI_00002_.png").await).2,
        "the seed shows"
    );
}

#[tokio::test]
async fn every_kind_of_file_has_its_magic_bytes() {
    let stand = stand().await;
    let empty = json!({"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 3, "color": 1}});
    let sound = json!({"class_type": "EmptyAudio", "inputs": {"duration": 1.0, "sample_rate": 44100, "channels": 2}});
    let latent = json!({"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}});
    let save = |class: &str, input: &str, more: Value| {
        let mut inputs = json!({input: ["1", 0], "filename_prefix": "kind/x"});
        inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"class_type": class, "inputs": inputs})
    };
    let fps = json!({"fps": 6.0, "lossless": true, "quality": 80, "method": "default", "compress_level": 4, "codec": "vp9", "crf": 32.0});
    for (source, node, key, extension, mime) in [
        (&empty, save("SaveAnimatedWEBP", "images", fps.clone()), "images", "webp", Some("image/webp")),
        (&empty, save("SaveAnimatedPNG", "images", fps.clone()), "images", "png", Some("image/png")),
        (&empty, save("SaveWEBM", "images", fps.clone()), "images", "webm", Some("video/webm")),
        (&sound, save("SaveAudio", "audio", json!({})), "audio", "flac", Some("audio/x-flac")),
        (&sound, save("SaveAudioMP3", "audio", json!({"quality": "V0"})), "audio", "mp3", Some("audio/mpeg")),
        (&sound, save("SaveAudioOpus", "audio", json!({"quality": "128k"})), "audio", "opus", Some("audio/opus")),
        (&latent, save("SaveLatent", "samples", json!({})), "latents", "latent", None),
    ] {
        let entry = stand.run(&json!({"1": source, "2": node})).await;
        let file = &entry["outputs"]["2"][key][0];
        assert_eq!(file["filename"], format!("x_00001_.{extension}"), "{entry}");
        let content = bytes(&stand, &format!("/view?filename=x_00001_.{extension}&subfolder=kind")).await;
        assert_eq!(infer::get(&content).map(|kind| kind.mime_type()), mime, "{extension}");
        stand.sim.delete_outputs(None);
    }
}

#[tokio::test]
async fn uploads_get_unused_names_and_can_be_loaded() {
    let stand = stand().await;
    let (red, green) = (png_of(16), png_of(24));
    let name = async |name: &str, content: &[u8], fields: &[(&str, &str)]| {
        let (status, reply) = upload(&stand, name, content, fields).await;
        assert_eq!(status, 200);
        reply["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name("a.png", &red, &[]).await, "a.png");
    assert_eq!(name("a.png", &red, &[]).await, "a.png", "the same bytes");
    assert_eq!(name("a.png", &green, &[]).await, "a (1).png");
    assert_eq!(name("a.png", b"text", &[]).await, "a (2).png");
    assert_eq!(name("a.png", &green, &[("overwrite", "true")]).await, "a.png");
    assert_eq!(name("a.png", &red, &[("overwrite", "yes")]).await, "a (3).png");
    let (_, reply) = upload(&stand, "b.png", &red, &[("subfolder", "x/y"), ("type", "input")]).await;
    assert_eq!(reply, json!({"name": "b.png", "subfolder": "x/y", "type": "input"}));
    assert_eq!(upload(&stand, "b.png", &red, &[("subfolder", "../out")]).await.0, 400);
    assert_eq!(upload(&stand, "b.png", &red, &[("type", "bogus")]).await.0, 500);
    let no_image = reqwest::multipart::Form::new().text("x", "y");
    assert_eq!(stand.http.post(stand.url("/upload/image")).multipart(no_image).send().await.unwrap().status(), 400);
    let load = |image: &str| {
        let mut graph = picture(8, "loaded");
        graph["1"] = json!({"class_type": "LoadImage", "inputs": {"image": image}});
        graph
    };
    for (image, side) in [("a.png", 24), ("x/y/b.png", 16), ("a (1).png [input]", 24)] {
        let entry = stand.run(&load(image)).await;
        let file = entry["outputs"]["2"]["images"][0]["filename"].as_str().unwrap().to_owned();
        assert_eq!(decoded(&bytes(&stand, &format!("/view?filename={file}")).await).0, side, "{image}");
    }
    let broken = stand.run(&load("a (2).png")).await;
    assert_eq!(broken["status"]["messages"][2][1]["exception_type"], "PIL.UnidentifiedImageError");
    let (status, text) = stand.post("/prompt", &json!({"prompt": load("none.png")})).await;
    assert!(status == 400 && text.contains("Invalid image file: none.png"));
}

#[tokio::test]
async fn a_mask_without_an_original_is_accepted_but_not_saved() {
    let stand = stand().await;
    upload(&stand, "o.png", &png_of(8), &[]).await;
    let mask = async |reference: Option<&str>| {
        let part = reqwest::multipart::Part::bytes(png_of(8)).file_name("m.png");
        let mut form = reqwest::multipart::Form::new().part("image", part);
        if let Some(reference) = reference {
            form = form.text("original_ref", reference.to_owned());
        }
        stand.http.post(stand.url("/upload/mask")).multipart(form).send().await.unwrap().status().as_u16()
    };
    assert_eq!(mask(None).await, 500);
    assert_eq!(mask(Some("{\"filename\": \"none.png\", \"type\": \"input\"}")).await, 200);
    assert_eq!(stand.get("/view?filename=m.png&type=input").await.0, 404);
    assert_eq!(mask(Some("{\"filename\": \"o.png\", \"type\": \"input\"}")).await, 200);
    assert_eq!(stand.get("/view?filename=m.png&type=input").await.0, 200);
}

#[tokio::test]
async fn view_answers_as_recorded() {
    let stand = stand().await;
    let content = png_of(16);
    upload(&stand, "v.png", &content, &[]).await;
    upload(&stand, "v.html", b"<html>x</html>", &[]).await;
    for (query, status) in [
        ("filename=v.png", 404),
        ("filename=v.png&type=input", 200),
        ("filename=v.png%20[input]", 200),
        ("filename=v.png&type=bogus", 400),
        ("", 404),
        ("filename=", 400),
        ("filename=../x", 400),
        ("filename=/etc/passwd", 400),
        ("filename=x&subfolder=..", 403),
        ("filename=sub/v.png&type=input", 200),
        ("filename=nope.png", 404),
        ("filename=v.html&type=input&preview=webp", 500),
        ("filename=v.png&type=input&preview=webp;50", 200),
    ] {
        assert_eq!(
            stand.http.get(stand.url(&format!("/view?{query}"))).send().await.unwrap().status().as_u16(),
            status,
            "{query}"
        );
    }
    let url = stand.url("/view?filename=v.png&type=input");
    let whole = stand.http.get(&url).send().await.unwrap();
    let header = |response: &reqwest::Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header(&whole, "content-type"), "image/png");
    assert_eq!(header(&whole, "content-disposition"), "filename=\"v.png\"");
    assert_eq!(header(&whole, "content-length"), content.len().to_string());
    let etag = header(&whole, "etag");
    assert_eq!(whole.bytes().await.unwrap(), content);
    let part = stand.http.get(&url).header("Range", "bytes=0-9").send().await.unwrap();
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, format!("bytes 0-9/{}", content.len())));
    assert_eq!(part.bytes().await.unwrap(), content[..10]);
    assert_eq!(stand.http.get(&url).header("If-None-Match", etag).send().await.unwrap().status(), 304);
    assert_eq!(stand.http.head(&url).send().await.unwrap().status(), 200);
    let html = stand.http.get(stand.url("/view?filename=v.html&type=input")).send().await.unwrap();
    assert_eq!(header(&html, "content-type"), "application/octet-stream");
}

#[tokio::test]
async fn a_cached_prompt_refers_to_the_same_file() {
    let stand = stand().await;
    let first = stand.run(&picture(8, "shared")).await;
    let second = stand.run(&picture(8, "shared")).await;
    assert_eq!(first["outputs"], second["outputs"]);
    assert_eq!(second["status"]["messages"][1][1]["nodes"], json!(["1", "2"]));
    assert_eq!(stand.sim.delete_outputs(Some("shared_00001_.png")), 1);
    assert_eq!(stand.run(&picture(8, "shared")).await["outputs"], first["outputs"]);
    assert_eq!(stand.get("/view?filename=shared_00001_.png").await, (404, String::new()));
    // Another content under the same input name is not a cache hit.
    upload(&stand, "in.png", &png_of(8), &[]).await;
    let mut load = picture(8, "in");
    load["1"] = json!({"class_type": "LoadImage", "inputs": {"image": "in.png"}});
    stand.run(&load).await;
    upload(&stand, "in.png", &png_of(9), &[("overwrite", "1")]).await;
    assert_eq!(stand.run(&load).await["status"]["messages"][1][1]["nodes"], json!([]));
}

#[tokio::test]
async fn a_data_folder_keeps_outputs_across_a_restart_but_not_temp_files() {
    let folder = tempfile::tempdir().unwrap();
    let options = SimOptions { data: Some(folder.path().to_owned()), ..SimOptions::default() };
    let stand = stand_with(options.clone()).await;
    stand.run(&picture(8, "kept/x")).await;
    let mut preview = picture(8, "");
    preview["2"] = json!({"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}});
    let temp = stand.run(&preview).await["outputs"]["2"]["images"][0]["filename"].as_str().unwrap().to_owned();
    assert_eq!(stand.get(&format!("/view?filename={temp}&type=temp")).await.0, 200);
    assert!(folder.path().join("output/kept/x_00001_.png").exists());
    stand.sim.restart().await.unwrap();
    assert_eq!(stand.get(&format!("/view?filename={temp}&type=temp")).await.0, 404);
    assert_eq!(stand.get("/view?filename=x_00001_.png&subfolder=kept").await.0, 200);
    stand.sim.stop().await;
    let again = stand_with(options).await;
    assert_eq!(again.run(&picture(8, "kept/x")).await["outputs"]["2"]["images"][0]["filename"], "x_00002_.png");
}
