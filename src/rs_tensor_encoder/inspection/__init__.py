"""What trees and files are: looked at without decoding, for people."""
