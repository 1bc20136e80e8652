// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <deque>
#include <format>

#include <config/generate/description.hpp>
#include <config/json.hpp>
#include <config/text.hpp>
#include <config/value.hpp>
#include <mirage/base/option.hpp>

namespace mirage::plan {

namespace {

using OrderedJson = nlohmann::ordered_json;

std::string value_of(const PlannedKey& planned) {
  if (!planned.value) return "(required at run time)";
  const auto value = shown(*find_key_type(planned.key.type), *planned.value);
  return planned.given ? value : value + " (default)";
}

std::string needs_of(const Plan& plan, const Instance& instance) {
  std::string out;
  for (const std::size_t need : instance.needs) out += (out.empty() ? "" : ", ") + plan.instances[need].title;
  return out;
}

std::string dot_label(std::string_view text) { return replaced(replaced(text, "\\", "\\\\"), "\"", "\\\""); }

std::string markup(std::string_view text) {
  return replaced(replaced(replaced(replaced(text, "&", "&amp;"), "<", "&lt;"), ">", "&gt;"), "\"", "&quot;");
}

}  // namespace

std::string describe_text(const Plan& plan, const std::vector<std::string>& libraries) {
  std::string out = std::format("Name      {}\nTarget    {}: {}\nImage     dist/{}\n", plan.name, plan.target->name,
                                plan.target->description, plan.image());
  std::string_view heading = "Modules";
  for (const auto& instance : plan.instances) {
    if (instance.job) continue;
    const auto needs = needs_of(plan, instance);
    out += std::format("{:<10}{:<22} {:<9} {}{}\n", heading, instance.title, instance.kind, instance.place,
                       needs.empty() ? "" : " <- " + needs);
    heading = "";
  }
  heading = "Jobs";
  for (const auto& instance : plan.instances) {
    if (!instance.job) continue;
    out += std::format("{:<10}{:<22} {:<9} {} <- {}\n", heading, instance.title, instance.header, instance.place,
                       instance.needs.empty() ? "nothing" : needs_of(plan, instance));
    heading = "";
  }
  heading = "Keys";
  for (const auto& planned : plan.keys) {
    out += std::format("{:<10}{:<22} {:<24} {}{}\n", heading, "--" + planned.key.name, value_of(planned),
                       planned.key.doc, planned.key.configure_only ? " [configure only]" : "");
    heading = "";
  }
  heading = "Libraries";
  for (const auto& name : libraries) {
    out += std::format("{:<10}{}\n", heading, name);
    heading = "";
  }
  return out;
}

std::string describe_json(const Plan& plan, const std::vector<std::string>& libraries) {
  OrderedJson modules = OrderedJson::array();
  for (const auto& instance : plan.instances) {
    OrderedJson needs = OrderedJson::array();
    for (const std::size_t need : instance.needs) needs.push_back(plan.instances[need].variable);
    OrderedJson module{{"id", instance.variable}, {"title", instance.title},   {"kind", instance.kind},
                       {"type", instance.type},   {"header", instance.header}, {"place", instance.place},
                       {"needs", needs}};
    if (!instance.device.empty()) module["device"] = {{"type", instance.device}, {"name", instance.device_name}};
    modules.push_back(std::move(module));
  }
  OrderedJson keys = OrderedJson::array();
  for (const auto& planned : plan.keys) {
    keys.push_back({{"name", planned.key.name},
                    {"type", planned.key.type},
                    {"value", planned.value ? OrderedJson(*planned.value) : OrderedJson(nullptr)},
                    {"given", planned.given},
                    {"configure_only", planned.key.configure_only},
                    {"doc", planned.key.doc},
                    {"place", planned.key.place}});
  }
  const OrderedJson all{
      {"name", plan.name}, {"target", plan.target->name}, {"image", "dist/" + plan.image()}, {"modules", modules},
      {"keys", keys},      {"libraries", libraries}};
  return json_text(all, 2) + "\n";
}

std::string describe_dot(const Plan& plan) {
  std::string out = std::format("digraph \"{}\" {{\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\"];\n",
                                dot_label(plan.name));
  for (const auto& instance : plan.instances) {
    const std::string_view shape = instance.job ? "diamond" : instance.device.empty() ? "box" : "component";
    out += std::format("  {} [label=\"{}\\n{}\", shape={}];\n", instance.variable, dot_label(instance.title),
                       instance.kind, shape);
  }
  for (const auto& instance : plan.instances) {
    for (const std::size_t need : instance.needs) {
      out += std::format("  {} -> {};\n", plan.instances[need].variable, instance.variable);
    }
  }
  return out + "}\n";
}

namespace {

/// Where each instance stands: rows by the longest way down to the devices, columns in order.
struct Layout {
  std::vector<std::size_t> row, column, width_of_row;
};

Layout lay_out(const Plan& plan) {
  Layout layout;
  for (const auto& instance : plan.instances) {
    std::size_t row = 0;
    for (const std::size_t need : instance.needs) row = std::max(row, layout.row[need] + 1);
    if (row >= layout.width_of_row.size()) layout.width_of_row.resize(row + 1);
    layout.row.push_back(row);
    layout.column.push_back(layout.width_of_row[row]++);
  }
  return layout;
}

constexpr std::size_t box_width = 200;
constexpr std::size_t box_height = 48;
constexpr std::size_t gap = 40;

}  // namespace

std::string describe_svg(const Plan& plan) {
  const Layout layout = lay_out(plan);
  const std::size_t rows = layout.width_of_row.size();
  const std::size_t columns = std::ranges::max(layout.width_of_row);
  const std::size_t width = gap + columns * (box_width + gap);
  const std::size_t height = gap + rows * (box_height + gap);
  const auto left = [&](std::size_t i) {
    const std::size_t free = columns - layout.width_of_row[layout.row[i]];
    return gap + layout.column[i] * (box_width + gap) + free * (box_width + gap) / 2;
  };
  const auto top = [&](std::size_t i) { return gap + (rows - 1 - layout.row[i]) * (box_height + gap); };
  std::string out = std::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" font-size=\"14\" text-anchor=\"middle\">\n<title>{2}</title>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
      width, height, markup(plan.name));
  for (std::size_t i = 0; i < plan.instances.size(); ++i) {
    for (const std::size_t need : plan.instances[i].needs) {
      out += std::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"#888\" stroke-width=\"1.5\"/>\n",
                         left(need) + box_width / 2, top(need), left(i) + box_width / 2, top(i) + box_height);
    }
  }
  for (std::size_t i = 0; i < plan.instances.size(); ++i) {
    const auto& instance = plan.instances[i];
    const std::string_view fill = instance.job ? "#dbeafe" : instance.device.empty() ? "#f3f4f6" : "#dcfce7";
    const std::size_t middle = left(i) + box_width / 2;
    out += std::format(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"{}\" stroke=\"#555\"/>\n"
        "<text x=\"{}\" y=\"{}\" fill=\"#111\">{}</text>\n<text x=\"{}\" y=\"{}\" fill=\"#555\" font-size=\"11\">{}, "
        "{}</text>\n",
        left(i), top(i), box_width, box_height, fill, middle, top(i) + 21, markup(instance.title), middle, top(i) + 38,
        markup(instance.kind), markup(instance.place));
  }
  return out + "</svg>\n";
}

std::string describe_keys(const std::vector<Key>& keys) {
  std::string out;
  for (const auto& key : keys) {
    const KeyType& type = *find_key_type(key.type);
    const std::string value = key.fallback ? "default: " + shown(type, *key.fallback) : "required";
    out += std::format("  --{:<24} {}; {} ({}){}\n", key.name + (key.type == "bool" ? "" : "=VALUE"), key.doc,
                       expected_of(key), value, key.configure_only ? " [configure only]" : "");
  }
  return out;
}

std::string describe_options(const Plan& plan) {
  struct Output final : LogSink {
    void write_line(std::string_view line) noexcept override { (text += line) += '\n'; }
    std::string text;
  } output;
  std::deque<std::string> texts;  // that the rows point to
  const auto kept = [&](std::string text) { return texts.emplace_back(std::move(text)).c_str(); };
  std::vector<OptionRow> rows;
  for (const auto& planned : plan.keys) {
    if (planned.key.configure_only) continue;
    const KeyType& type = *find_key_type(planned.key.type);
    rows.push_back({.name = kept(planned.key.name),
                    .expected = kept(std::string(type.expected)),
                    .fallback = kept(planned.value ? shown(type, *planned.value) : ""),
                    .doc = kept(planned.key.doc),
                    .form = !planned.value               ? Option::Form::required
                            : planned.key.type == "bool" ? Option::Form::flag
                                                         : Option::Form::value});
  }
  std::string help = "--help";
  std::array<char*, 1> arguments{help.data()};
  (void)parse_options(plan.name, rows, arguments, nullptr, output);
  return output.text;
}

}  // namespace mirage::plan
