// SPDX-License-Identifier: ISC
// The page that a browser shows: it speaks to the same interface as everybody else.
#pragma once

#include <string_view>

inline constexpr std::string_view page = R"(<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Notes</title>
<style>body{font:1rem/1.5 sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}li{margin:.3rem 0}
button{margin-left:.5rem}input{width:75%}</style>
<h1>Notes</h1>
<form><input name="text" maxlength="500" required autofocus><button>Add</button></form>
<ul></ul>
<script>
const list = document.querySelector("ul"), form = document.querySelector("form");
async function show() {
  const notes = await (await fetch("/notes")).json();
  list.replaceChildren(...notes.map(note => {
    const item = document.createElement("li"), remove = document.createElement("button");
    item.textContent = note.text;
    remove.textContent = "Delete";
    remove.onclick = async () => { await fetch("/notes/" + note.id, {method: "DELETE"}); show(); };
    item.append(remove);
    return item;
  }));
}
form.onsubmit = async event => {
  event.preventDefault();
  await fetch("/notes", {method: "POST", body: form.text.value});
  form.reset();
  show();
};
show();
</script>
)";
