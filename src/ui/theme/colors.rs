//! Colours of the user's own, by role: the section `[colors]` of the settings file. They take the place of the theme's, whichever
//! theme it is; the monochrome one, and a terminal without colours, have none to replace.

use super::palettes::Palette;

/// What can be given, with the number of colours it takes.
pub const ROLES: &[(&str, usize)] = &[
    ("text", 1),
    ("dim", 1),
    ("strong", 1),
    ("accent", 1),
    ("border", 1),
    ("selection", 1),
    ("changed", 1),
    ("good", 1),
    ("warning", 1),
    ("error", 1),
    ("tokens", 4),
    ("series", 6),
];

/// Role and `0xRRGGBB`, as many as the role takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Colors(Vec<(&'static str, Vec<u32>)>);

impl Colors {
    /// Takes `#rrggbb` for a role.
    ///
    /// # Errors
    /// A sentence: no such role, not a colour, not as many as the role has.
    pub fn set(&mut self, role: &str, given: &[&str]) -> Result<(), String> {
        let Some((role, count)) = ROLES.iter().find(|(name, _)| *name == role) else {
            let known: Vec<&str> = ROLES.iter().map(|(name, _)| *name).collect();
            return Err(format!("no such colour; known are {}", known.join(", ")));
        };
        if given.len() != *count {
            return Err(match count {
                1 => "must be one colour (\"#8ab8f0\")".to_string(),
                _ => format!("must be a list of {count} colours (\"#8ab8f0\")"),
            });
        }
        let colors: Result<Vec<u32>, String> = given.iter().map(|text| read(text)).collect();
        let colors = colors?;
        self.0.retain(|(other, _)| other != role);
        self.0.push((role, colors));
        Ok(())
    }

    /// Puts them on a theme's colours.
    pub(super) fn apply(&self, palette: &mut Palette) {
        for (role, colors) in &self.0 {
            for (place, color) in palette.role(role).iter_mut().zip(colors) {
                *place = *color;
            }
        }
    }
}

fn read(text: &str) -> Result<u32, String> {
    text.strip_prefix('#')
        .filter(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| format!("{text:?} is not a colour such as \"#8ab8f0\""))
}

#[cfg(test)]
mod tests {
    use super::super::palettes;
    use super::*;

    #[test]
    fn every_role_takes_its_colours_and_no_others() {
        for (role, count) in ROLES {
            let mut colors = Colors::default();
            colors.set(role, &vec!["#010203"; *count]).unwrap();
            let mut palette = palettes::named("dark").clone();
            colors.apply(&mut palette);
            assert_eq!(palette.role(role), vec![0x010203; *count]);
            let mut others = ROLES.iter().filter(|(other, _)| other != role);
            assert!(others.all(|(other, _)| {
                palette.role(other) == palettes::named("dark").clone().role(other)
            }));
            assert!(colors.set(role, &vec!["#010203"; count + 1]).is_err());
        }
    }

    #[test]
    fn what_is_no_colour_is_said() {
        let mut colors = Colors::default();
        for bad in ["red", "#12345", "#1234567", "#+12345", "#é2345"] {
            let message = colors.set("text", &[bad]).unwrap_err();
            assert!(message.contains("is not a colour"), "{message}");
        }
        let message = colors.set("glow", &["#010203"]).unwrap_err();
        assert!(message.contains("known are text, dim"), "{message}");
        assert_eq!(colors, Colors::default());
    }
}
